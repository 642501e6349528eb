import { closeSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { withDeadline } from "../core/deadline.ts";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";

/** What a program was started with, one character a byte. */
export interface ProcessArguments {
  readonly argv: readonly string[];
  /** SHA-256 of the arguments as the kernel shows them, each ended by a zero byte. */
  readonly digest: string;
  /** All values of a variable of the environment, in order. */
  variable(name: string): string[];
}

const readAt = promisify(read);
const CHUNK_BYTES = 16 * 1024;
/** The kernel takes at most 6 MiB of arguments and environment together. */
const MAX_BYTES = 8 * 1024 * 1024;
const DEADLINE_MS = 5000;
/**
 * The kernel reads them from the process's own memory, and a process can see to it that this takes for ever. So this many
 * are read at a time: the threads that all files are read by are more.
 */
const AT_A_TIME = 2;

/**
 * Reads arguments and environment of a process; what it had when this was called is held on to at once. Arguments are null
 * when the process went before they could be read. Throws ENOENT or ESRCH when it has gone already, and PimsError
 * `coverage-incomplete` when they do not come.
 */
export async function readArguments(pid: number): Promise<ProcessArguments | null> {
  const cmdline = openSync(`/proc/${pid}/cmdline`, "r");
  let environ: number;
  try {
    environ = openSync(`/proc/${pid}/environ`, "r");
  } catch (error) {
    closeSync(cmdline);
    throw error;
  }
  const reading = inTurn(async (): Promise<ProcessArguments | null> => {
    try {
      const [line, environment] = [await readAll(cmdline), await readAll(environ)];
      if (line.length === 0) return null;
      return {
        argv: line.toString("latin1").replace(/\0$/, "").split("\0"),
        digest: sha256Hex(line),
        variable: (name) => valuesOf(environment, name),
      };
    } finally {
      closeSync(cmdline);
      closeSync(environ);
    }
  });
  // Should nobody wait any more when it fails.
  reading.catch(() => {});
  return withDeadline(`process ${pid}, asked for its arguments,`, DEADLINE_MS, () => reading);
}

let underWay = 0;
const waiting: (() => void)[] = [];

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (underWay >= AT_A_TIME) await new Promise<void>((resolve) => waiting.push(resolve));
  else underWay++;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) underWay--;
    else next();
  }
}

async function readAll(fd: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let total = 0; ; ) {
    const chunk = Buffer.allocUnsafe(total === 0 ? CHUNK_BYTES : 64 * CHUNK_BYTES);
    const { bytesRead } = await readAt(fd, chunk, 0, chunk.length, null);
    parts.push(chunk.subarray(0, bytesRead));
    total += bytesRead;
    if (bytesRead < chunk.length) return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    if (total > MAX_BYTES) throw new PimsError("coverage-incomplete", "a process has more arguments than can be read");
  }
}

/** A variable may be there more than once, and whoever reads it decides which counts. */
function valuesOf(environment: Buffer, name: string): string[] {
  const values: string[] = [];
  const start = `${name}=`;
  for (let at = environment.indexOf(start); at >= 0; at = environment.indexOf(start, at + 1)) {
    if (at > 0 && environment[at - 1] !== 0) continue;
    const end = environment.indexOf(0, at);
    values.push(environment.toString("latin1", at + start.length, end < 0 ? environment.length : end));
  }
  return values;
}
