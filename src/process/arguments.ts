import { closeSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";

/** Variables that say what a process loads and where it looks for scripts. */
const VARIABLES = ["PATH", "LD_PRELOAD", "LD_AUDIT"] as const;

/** What a program was started with, one character a byte. */
export interface ProcessArguments {
  readonly argv: readonly string[];
  /** SHA-256 of the arguments as the kernel shows them, each ended by a zero byte. */
  readonly digest: string;
  /** All values of each variable, in order: one may be there more than once, and whoever reads it decides which counts. */
  readonly variables: Readonly<Record<(typeof VARIABLES)[number], readonly string[]>>;
}

const readAt = promisify(read);
/** The kernel takes at most 6 MiB of arguments and environment together. */
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * The kernel reads them from the process's own memory, and a process can see to it that this takes for ever. So this many
 * are read at a time, each into a buffer of its own: the threads that all files are read by are more.
 */
const free: Buffer[] = Array.from({ length: 2 }, () => Buffer.allocUnsafeSlow(64 * 1024));
const waiting: ((buffer: Buffer) => void)[] = [];

/**
 * Reads arguments and environment of a process; what it had when this was called is held on to at once. Null when the
 * process went before they could be read. Throws ENOENT or ESRCH when it has gone already. May never come back: the
 * caller sets a deadline.
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
  const buffer = free.pop() ?? (await new Promise<Buffer>((resolve) => waiting.push(resolve)));
  try {
    const line = await readAll(cmdline, buffer);
    if (line.length === 0) return null;
    const [digest, argv] = [sha256Hex(line), line.toString("latin1").replace(/\0$/, "").split("\0")];
    const environment = await readAll(environ, buffer);
    const [PATH, LD_PRELOAD, LD_AUDIT] = VARIABLES.map((name) => valuesOf(environment, name));
    return { argv, digest, variables: { PATH: PATH!, LD_PRELOAD: LD_PRELOAD!, LD_AUDIT: LD_AUDIT! } };
  } finally {
    closeSync(cmdline);
    closeSync(environ);
    const next = waiting.shift();
    if (next === undefined) free.push(buffer);
    else next(buffer);
  }
}

/** What is read lies in `buffer` where it has room enough. */
async function readAll(fd: number, buffer: Buffer): Promise<Buffer> {
  const { bytesRead } = await readAt(fd, buffer, 0, buffer.length, null);
  if (bytesRead < buffer.length) return buffer.subarray(0, bytesRead);
  const parts = [Buffer.from(buffer)];
  for (let total = bytesRead; total <= MAX_BYTES; ) {
    const chunk = Buffer.allocUnsafe(1024 * 1024);
    const { bytesRead } = await readAt(fd, chunk, 0, chunk.length, null);
    parts.push(chunk.subarray(0, bytesRead));
    total += bytesRead;
    if (bytesRead < chunk.length) return Buffer.concat(parts);
  }
  throw new PimsError("coverage-incomplete", "a process has more arguments than can be read");
}

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
