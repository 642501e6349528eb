import { type Interpreter, interpreterNamed } from "./interpreters.ts";

/** Why there is no script file to be measured. */
export type NoFile = "stdin" | "command" | "module";

/** What a process's arguments say about a script: the names that its file may have, in the order of trying. */
export type ScriptArgument =
  | { readonly kind: "none" }
  | { readonly kind: "file"; readonly names: readonly string[] }
  /** A script if it begins with `#!`: a process may call itself what it likes. */
  | { readonly kind: "first-line"; readonly names: readonly string[] }
  | { readonly kind: "no-file"; readonly why: NoFile };

const NONE: ScriptArgument = { kind: "none" };
/** TASK_COMM_LEN without its final zero. */
const COMM_BYTES = 15;
const MAX_PATH_FOLDERS = 64;

/**
 * Which script a program runs, by its arguments (one character a byte, as are `program`, the program's path, `comm` and
 * `path`, the variable PATH). A script that was executed by its `#!` line is told by the kernel: it gives the process the
 * script's name and puts the script after the interpreter and at most one argument of it (execve(2)).
 */
export function scriptArgument(
  program: string,
  comm: string,
  argv: readonly string[],
  path: string | undefined,
): ScriptArgument {
  const name = baseName(program);
  if (name === "busybox") return busyboxScript(argv, path);
  const interpreter = interpreterNamed(name);
  if (interpreter !== undefined) return interpreterScript(interpreter, argv.slice(1), path);
  if (comm === name.slice(0, COMM_BYTES)) return NONE;
  const script = argv.slice(1, 3).find((argument) => comm !== "" && baseName(argument).slice(0, COMM_BYTES) === comm);
  return script === undefined ? NONE : { kind: "first-line", names: [script] };
}

/** One program, many names: the name that it was called by, or the first argument, says which. */
function busyboxScript(argv: readonly string[], path: string | undefined): ScriptArgument {
  const called = baseName(argv[0] ?? "").replace(/^-/, "");
  const [applet, rest] = called === "busybox" ? [argv[1] ?? "", argv.slice(2)] : [called, argv.slice(1)];
  const interpreter = interpreterNamed(applet);
  return interpreter === undefined ? NONE : interpreterScript(interpreter, rest, path);
}

function interpreterScript(
  interpreter: Interpreter,
  args: readonly string[],
  path: string | undefined,
): ScriptArgument {
  const { long = [], longCode = [], commands = [], tails = [""], searchesPath = false } = interpreter;
  let codeSeen = false;
  for (let index = 0; index < args.length; index++) {
    const argument = args[index]!;
    if (argument === "--" || (argument === "-" && interpreter.shell)) return operand(args[index + 1]);
    if (argument === "-") return noFile("stdin");
    if (argument.startsWith("--") || (interpreter.singleHyphenLong && /^-../.test(argument))) {
      const equals = argument.indexOf("=");
      const option = equals < 0 ? argument : argument.slice(0, equals);
      if (longCode.includes(option)) return noFile("command");
      if (option === "--file") return file(equals < 0 ? args[index + 1] : argument.slice(equals + 1));
      if (long.includes(option) && equals < 0) index++;
    } else if (/^[-+]./.test(argument)) {
      const found = letterOptions(interpreter, argument, args[index + 1]);
      if (found.ends === "file") return file(found.name);
      if (found.ends !== null) return noFile(found.ends);
      codeSeen ||= found.code;
      if (found.takesNext) index++;
    } else if (!commands.includes(argument)) return operand(argument);
  }
  return operand(undefined);

  function operand(name: string | undefined): ScriptArgument {
    if (name === undefined) return noFile(codeSeen ? "command" : "stdin");
    return interpreter.operandIsCode ? noFile("command") : file(name);
  }
  function file(name: string | undefined): ScriptArgument {
    if (name === undefined || name === "-" || name === "") return noFile("stdin");
    const names = tails.map((tail) => name + tail);
    if (searchesPath && !name.includes("/") && path !== undefined)
      names.push(
        ...path
          .split(":")
          .slice(0, MAX_PATH_FOLDERS)
          .map((folder) => `${folder || "."}/${name}`),
      );
    return { kind: "file", names };
  }
}

interface LetterOptions {
  /** What ends the options: a script that is named, or the reason why there is none. */
  readonly ends: NoFile | "file" | null;
  readonly name?: string | undefined;
  readonly takesNext: boolean;
  /** Code was given, and a script may follow. */
  readonly code: boolean;
}

/** The options of one letter in one argument. */
function letterOptions(interpreter: Interpreter, argument: string, next: string | undefined): LetterOptions {
  const { code = "", codeBefore = "", module = "", file = "", stdin = "", values = "", attached = "" } = interpreter;
  let takesNext = false;
  for (let at = 1; at < argument.length; at++) {
    const letter = argument[at]!;
    const rest = argument.slice(at + 1);
    const ends = code.includes(letter) ? "command" : module.includes(letter) ? "module" : null;
    if (ends !== null) return { ends, takesNext, code: false };
    if (stdin.includes(letter)) return { ends: "stdin", takesNext, code: false };
    if (file.includes(letter)) return { ends: "file", name: rest || next, takesNext, code: false };
    if (codeBefore.includes(letter)) return { ends: null, takesNext: rest === "", code: true };
    // Whatever follows a letter and a colon is its value, too.
    if (attached.includes(letter) || rest.startsWith(":")) break;
    if (!values.includes(letter)) continue;
    takesNext ||= rest === "" || interpreter.shell === true;
    // A shell takes the next argument wherever the letter stands: `-euo pipefail`, `-oe pipefail`.
    if (!interpreter.shell) break;
  }
  return { ends: null, takesNext, code: false };
}

function noFile(why: NoFile): ScriptArgument {
  return { kind: "no-file", why };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
