import { PimsError } from "../core/errors.ts";

/** Asks for a passphrase on the terminal, without showing it. Throws `passphrase-needed` where there is no terminal. */
export async function askPassphrase(question: string): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY)
    throw new PimsError("passphrase-needed", "there is no terminal to ask for the passphrase on", {
      hint: "give a file that holds it, and that only its owner can read, by --passphrase-file",
    });
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  try {
    return await readHidden(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}

/** The same twice, for a new one. */
export async function askNewPassphrase(): Promise<string> {
  const first = await askPassphrase("Passphrase of the new key: ");
  if ((await askPassphrase("The same again: ")) === first) return first;
  throw new PimsError("passphrase-differs", "the two passphrases are not the same");
}

const MAX_LENGTH = 1024;
/** The last two are Ctrl-C and Ctrl-D, which a terminal in raw mode only passes on. */
const ENDS = new Set(["\r", "\n", "\u0003", "\u0004"]);

async function readHidden(input: NodeJS.ReadStream): Promise<string> {
  let text = "";
  return new Promise((resolve, reject) => {
    const onData = (data: string): void => {
      for (const character of data) {
        if (ENDS.has(character)) {
          input.off("data", onData);
          if (character === "\r" || character === "\n") resolve(text);
          else reject(new PimsError("not-signed", "nothing was signed"));
          break;
        }
        if (character === "\u007f" || character === "\b") text = [...text].slice(0, -1).join("");
        else if (text.length < MAX_LENGTH) text += character;
      }
    };
    input.on("data", onData);
    input.resume();
  });
}
