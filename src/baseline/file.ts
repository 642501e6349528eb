import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { parseBaseline } from "./format.ts";
import type { Baseline } from "./lines.ts";

const MAX_FILE_BYTES = 256 * 1024 * 1024;

/**
 * Reads a baseline from a file that holds its lines, each ended by a newline. Throws `baseline-unreadable` when there is
 * no such file, and `baseline-malformed`.
 */
export async function readBaselineFile(path: string): Promise<Baseline> {
  let bytes: Buffer;
  try {
    await using file = await open(path);
    const stats = await file.stat();
    if (!stats.isFile()) throw new PimsError("baseline-unreadable", `${path} is not a file`);
    if (stats.size > MAX_FILE_BYTES) throw new PimsError("baseline-malformed", `${path} is too large for a baseline`);
    bytes = await file.readFile();
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    const why = errorCode(cause) === "ENOENT" ? "does not exist" : `cannot be read (${errorCode(cause)})`;
    throw new PimsError("baseline-unreadable", `the baseline file ${path} ${why}`, { cause });
  }
  try {
    return parseBaseline(splitLines(bytes));
  } catch (cause) {
    if (cause instanceof PimsError) throw new PimsError(cause.code, `${path}: ${cause.message}`, { cause });
    throw cause;
  }
}

function splitLines(bytes: Uint8Array): string[] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new PimsError("baseline-malformed", "the baseline file is not UTF-8", { cause });
  }
  if (!text.endsWith("\n")) throw new PimsError("baseline-malformed", "the baseline file ends in the middle of a line");
  return text.slice(0, -1).split("\n");
}

/** Writes a baseline's lines. The file is there whole or not at all. Throws `baseline-unwritable`. */
export async function writeBaselineFile(path: string, { lines }: Pick<Baseline, "lines">): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  try {
    {
      await using file = await open(draft, "wx", 0o644);
      await file.writeFile(`${lines.join("\n")}\n`);
      await file.sync();
    }
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    const text = `the baseline cannot be written to ${path} (${errorCode(cause) ?? "unknown error"})`;
    throw new PimsError("baseline-unwritable", text, { cause });
  }
}
