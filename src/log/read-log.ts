import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { MAX_LINE_BYTES } from "./record.ts";

/** Lines of a log file. `torn` is what follows the last newline: a record that was being written when power failed. */
export interface LogLines {
  readonly lines: string[];
  readonly torn: string;
}

const CHUNK_BYTES = 256 * 1024;
const MAX_LOG_BYTES = 4 * 1024 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Reads a whole log file. An absent one is empty. Throws `log-unreadable` or `log-broken` (not UTF-8, a line too long). */
export async function readLog(path: string): Promise<LogLines> {
  const lines: string[] = [];
  let torn = "";
  try {
    if ((await stat(path)).size > MAX_LOG_BYTES) throw new PimsError("log-unreadable", `the log ${path} is too large`);
    for await (const line of logLines(path)) {
      if (line.endsWith("\n")) lines.push(line.slice(0, -1));
      else torn = line;
    }
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { lines: [], torn: "" };
    if (error instanceof PimsError) throw error;
    throw new PimsError("log-unreadable", `the log ${path} cannot be read`, { cause: error });
  }
  return { lines, torn };
}

/**
 * The lines of a log of any length, one after the other, each with its newline; a torn last one has none, and may be torn
 * within a character. `startByte` is where a line begins. Only a newline ends a line: U+2028, which some readers of lines
 * take for an end too, may stand in a path.
 */
export async function* logLines(path: string, startByte = 0): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES, start: startByte })) {
    const bytes: Buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      yield decodeLine(decoder, bytes.subarray(start, end + 1), path, number++);
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > MAX_LINE_BYTES)
      throw new PimsError("log-broken", `record ${number} of the log ${path} is too long`);
  }
  if (rest.length > 0) yield rest.toString("utf8");
}

function decodeLine(
  decoder: InstanceType<typeof TextDecoder>,
  bytes: Uint8Array,
  path: string,
  number: number,
): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new PimsError("log-broken", `record ${number} of the log ${path} holds bytes that are not UTF-8`);
  }
}
