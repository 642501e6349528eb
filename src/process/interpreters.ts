/** How a program that runs scripts reads its arguments. Options are single letters unless they are in `long`. */
export interface Interpreter {
  /** File names of the program, version and all. */
  readonly names: RegExp;
  /** Options whose value is code: there is no script file, and what follows are the code's own arguments. */
  readonly code?: string;
  /** The same, but a script may follow and is run too. */
  readonly codeBefore?: string;
  /** Options whose value names a module that the interpreter looks for by itself. */
  readonly module?: string;
  /** Options whose value is the script. */
  readonly file?: string;
  /** Options that say that the script comes from standard input. */
  readonly stdin?: string;
  /** Options that take a value: the rest of the argument, or the next one. */
  readonly values?: string;
  /** Options whose value is always the rest of the argument. */
  readonly attached?: string;
  /** Options of several letters whose value is the next argument. */
  readonly long?: readonly string[];
  /** Options of several letters whose value is code. */
  readonly longCode?: readonly string[];
  /** Several letters after one hyphen are one option, as in `-encoding`. */
  readonly singleHyphenLong?: boolean;
  /** Words in the script's place that stand for something else. */
  readonly commands?: readonly string[];
  /** Without an option the first argument is code, as awk's is. */
  readonly operandIsCode?: boolean;
  /** What may be added to a script's name to find its file. */
  readonly tails?: readonly string[];
  /** A name without a slash that is not in the working folder is looked for in PATH. */
  readonly searchesPath?: boolean;
  /** Reads its options as sh(1) does. */
  readonly shell?: boolean;
}

const shell: Interpreter = {
  names: /^(sh|dash|ash|hush|bash|rbash|zsh[0-9.-]*|[lm]?ksh(93)?|posh|yash)$/,
  code: "c",
  stdin: "s",
  values: "oO",
  long: ["--rcfile", "--init-file"],
  shell: true,
};

/**
 * The interpreters that are known, by the file name of their program. Which options take a value is what their manuals
 * say; an option that is not known takes none.
 */
export const INTERPRETERS: readonly Interpreter[] = [
  { ...shell, names: /^r?bash$/, searchesPath: true },
  shell,
  { names: /^fish$/, code: "c", values: "Cdfo", long: ["--init-command", "--features", "--debug", "--profile"] },
  {
    names: /^(python|pypy)[0-9.]*[a-z]*$/,
    code: "c",
    module: "m",
    values: "WXQ",
    long: ["--check-hash-based-pycs"],
    tails: ["", "/__main__.py"],
  },
  { names: /^perl[0-9.]*$/, code: "eE", values: "I", attached: "iFMmDxV" },
  { names: /^ruby[0-9.]*$/, code: "e", values: "rICXE", attached: "FiKxWT" },
  {
    names: /^php(-cgi)?[0-9.]*$/,
    code: "rBRE",
    file: "fF",
    values: "cdzStgT",
    long: ["--php-ini", "--define", "--zend-extension", "--server", "--docroot"],
    longCode: ["--run", "--process-begin", "--process-code", "--process-end"],
  },
  {
    names: /^(node|nodejs)[0-9.]*$/,
    code: "ep",
    values: "rC",
    long: [
      ...["--require", "--import", "--loader", "--experimental-loader", "--conditions", "--title", "--icu-data-dir"],
      ...["--openssl-config", "--redirect-warnings", "--disable-warning", "--diagnostic-dir", "--report-dir"],
      ...["--report-directory", "--report-filename", "--report-signal", "--inspect-port", "--debug-port"],
      ...["--unhandled-rejections", "--trace-event-categories", "--trace-event-file-pattern", "--dns-result-order"],
      ...["--heapsnapshot-signal", "--max-http-header-size", "--secure-heap", "--secure-heap-min", "--env-file"],
      ...["--tls-cipher-list", "--tls-keylog", "--input-type", "--cpu-prof-dir", "--cpu-prof-name", "--watch-path"],
    ],
    longCode: ["--eval", "--print"],
    commands: ["inspect", "debug"],
    tails: ["", ".js", "/index.js"],
  },
  { names: /^(lua|luajit|texlua)[0-9.-]*(beta\d+)?$/, codeBefore: "e", values: "l", attached: "bjO" },
  { names: /^(tclsh|wish|jimsh)[0-9.]*$/, long: ["-encoding"], singleHyphenLong: true },
  { names: /^expect[0-9.]*$/, codeBefore: "c", file: "fb", values: "D" },
  {
    names: /^(awk|mawk|gawk|nawk|original-awk)[0-9.-]*$/,
    code: "e",
    file: "fE",
    values: "vFiW",
    long: ["--assign", "--field-separator", "--include"],
    operandIsCode: true,
  },
];

/** The interpreter that a file name stands for. */
export function interpreterNamed(name: string): Interpreter | undefined {
  return INTERPRETERS.find(({ names }) => names.test(name));
}

/** Whether a program of this file name runs scripts, or is one of several programs by the name that it is called by. */
export function isInterpreter(name: string): boolean {
  return name === "busybox" || name === "toybox" || interpreterNamed(name) !== undefined;
}
