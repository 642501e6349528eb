import { type FileHandle, mkdir, open, rename, truncate } from "node:fs/promises";
import { join } from "node:path";
import { bytesEqual, toHex } from "../core/bytes.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { LogEvent } from "./event.ts";
import { readLog } from "./read-log.ts";
import { formatRecord, type LogRecord, parseRecord } from "./record.ts";
import { extendValue, replay, ZERO_PCR } from "./replay.ts";

/** The TPM register that the log is extended into. */
export interface Register {
  /** Index of the PCR. */
  readonly pcr: number;
  read(): Promise<Uint8Array>;
  extend(digest: string): Promise<void>;
}

/** Names of the log in an agent's state folder. */
export const LOG_FOLDER = "log";
const MARK_EVERY = 256;
export const LOG_FILE = "measurements.jsonl";

/** What the log of the boot before ended with. */
export interface PreviousBoot {
  readonly bootId: string;
  readonly recnum: number;
  readonly digest: string;
  readonly pcr: string;
}

/**
 * The log on disk and in the TPM. One record is one extend: write, fsync, extend. When it is opened, file and register
 * are brought together again or it says why it will not.
 */
export class MeasurementLog {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #register: Register;
  #length: number;
  #value: Uint8Array;
  #bytes = 0;
  /** Where every MARK_EVERYth record begins in the file. */
  readonly #marks: number[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #failed: unknown;

  private constructor(path: string, file: FileHandle, register: Register, lines: readonly string[], value: Uint8Array) {
    this.path = path;
    this.#file = file;
    this.#register = register;
    this.#length = 0;
    for (const line of lines) this.#count(line);
    this.#value = value;
  }

  /**
   * Opens the log in `folder`, or starts it. The register decides: equal to the whole log, go on; equal to the log
   * without its last record, that record's extend is made up for; a torn last line with the register at the whole lines
   * before it is cut off. Anything else is PimsError `pcr-mismatch`; a line that is no record is `log-broken`.
   *
   * A log of another boot with an untouched register is set aside; `previous` then says how it ended.
   */
  static async open(
    folder: string,
    register: Register,
    bootId: string,
  ): Promise<{ log: MeasurementLog; records: LogRecord[]; previous: PreviousBoot | null }> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, LOG_FILE);
    let { lines, torn } = await readLog(path);
    const actual = await register.read();
    let records = lines.map((line, index) => parseRecord(line, index));
    let previous: PreviousBoot | null = null;

    const first = records[0]?.events[0];
    if (first?.type === "boot" && first.bootId !== bootId) {
      if (!bytesEqual(actual, ZERO_PCR))
        throw mismatch(register.pcr, "is not zero, and the log is of another boot", folder);
      const last = records.at(-1)!;
      previous = {
        bootId: first.bootId,
        recnum: last.recnum,
        digest: last.digest,
        pcr: toHex(replay(records.map(({ digest }) => digest))),
      };
      await rename(path, join(folder, `measurements-${first.bootId}.jsonl`));
      [lines, torn, records] = [[], "", []];
    }

    const digests = records.map(({ digest }) => digest);
    const value = replay(digests);
    if (!bytesEqual(value, actual)) {
      const behind = replay(digests.slice(0, -1));
      if (digests.length === 0) throw mismatch(register.pcr, "is already in use, and there is no log", folder);
      if (torn !== "" || !bytesEqual(behind, actual))
        throw mismatch(register.pcr, `does not match the log's ${digests.length} records`, folder);
      await register.extend(digests.at(-1)!);
    }
    if (torn !== "")
      await truncate(
        path,
        lines.reduce((bytes, line) => bytes + Buffer.byteLength(line) + 1, 0),
      );

    const file = await open(path, "a", 0o600);
    await syncFolder(folder);
    return { log: new MeasurementLog(path, file, register, lines, value), records, previous };
  }

  /** A record at or before this one, and where it begins in the file: so that what is new is read without what is not. */
  before(recnum: number): { recnum: number; startByte: number } {
    const mark = Math.min(Math.floor(recnum / MARK_EVERY), this.#marks.length - 1);
    return mark < 0 ? { recnum: 0, startByte: 0 } : { recnum: mark * MARK_EVERY, startByte: this.#marks[mark]! };
  }

  #count(line: string): void {
    if (this.#length % MARK_EVERY === 0) this.#marks.push(this.#bytes);
    this.#length++;
    this.#bytes += Buffer.byteLength(line) + 1;
  }

  /** Number of records. */
  get length(): number {
    return this.#length;
  }

  /** Value that the register has after the last record. */
  get value(): Uint8Array {
    return this.#value;
  }

  /** Appends one record. After a failure that leaves file and register apart, every later append fails too. */
  append(events: readonly LogEvent[]): Promise<{ recnum: number; digest: string }> {
    const result = this.#turn.then(() => this.#append(events));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#file.close();
  }

  async #append(events: readonly LogEvent[]): Promise<{ recnum: number; digest: string }> {
    if (this.#failed !== undefined)
      throw new PimsError(
        "log-failed",
        `the log takes no more records, since one failed (${describeError(this.#failed)})`,
        {
          cause: this.#failed,
        },
      );
    const recnum = this.#length;
    const { line, digest } = formatRecord(recnum, this.#register.pcr, events);
    try {
      await this.#file.appendFile(`${line}\n`);
      // After a failed fsync the kernel may have dropped the pages: trying again would prove nothing.
      await this.#file.datasync();
      const next = extendValue(this.#value, digest);
      await this.#extend(digest, next);
      this.#value = next;
      this.#count(line);
      return { recnum, digest };
    } catch (error) {
      this.#failed = error;
      throw error;
    }
  }

  /** An extend without an answer is decided by reading the register, never by repeating it blindly. */
  async #extend(digest: string, next: Uint8Array): Promise<void> {
    try {
      await this.#register.extend(digest);
    } catch (error) {
      const now = await this.#register.read();
      if (bytesEqual(now, next)) return;
      if (!bytesEqual(now, this.#value))
        throw new PimsError("pcr-mismatch", `PCR ${this.#register.pcr} was extended by somebody else`, {
          cause: error,
        });
      await this.#register.extend(digest);
    }
  }
}

function mismatch(pcr: number, what: string, folder: string): PimsError {
  return new PimsError("pcr-mismatch", `PCR ${pcr} of the TPM ${what}`, {
    hint: `another program extends it, the TPM was reset, or the log in ${folder} was altered: compare with 'pims log verify', and choose another PCR or start with an empty log folder`,
  });
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
