import { open, stat } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { MAX_LINE_BYTES } from "./record.ts";

/** Lines of a log file. `torn` is what follows the last newline: a record that was being written when power failed. */
export interface LogLines {
  readonly lines: string[];
  readonly torn: string;
}

const MAX_LOG_BYTES = 4 * 1024 * 1024 * 1024;

/** Reads a whole log file. An absent one is empty. Throws `log-unreadable` or `log-broken` (not UTF-8, a line too long). */
export async function readLog(path: string): Promise<LogLines> {
  try {
    if ((await stat(path)).size > MAX_LOG_BYTES) throw new PimsError("log-unreadable", `the log ${path} is too large`);
    const file = await open(path, "r");
    try {
      return await splitLines(file.createReadStream({ autoClose: false }), path);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { lines: [], torn: "" };
    if (error instanceof PimsError) throw error;
    throw new PimsError("log-unreadable", `the log ${path} cannot be read`, { cause: error });
  }
}

async function splitLines(chunks: AsyncIterable<unknown>, path: string): Promise<LogLines> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const lines: string[] = [];
  let rest = "";
  for await (const chunk of chunks) {
    try {
      rest += decoder.decode(chunk as Uint8Array, { stream: true });
    } catch {
      throw new PimsError(
        "log-broken",
        `the log ${path} holds bytes that are not UTF-8 after record ${lines.length - 1}`,
      );
    }
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) lines.push(part);
    if (rest.length > MAX_LINE_BYTES)
      throw new PimsError("log-broken", `record ${lines.length} of the log ${path} is too long`);
  }
  return { lines, torn: rest };
}
