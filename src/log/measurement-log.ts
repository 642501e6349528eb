import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { rfc3339 } from "../core/clock.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { BootEvent, LogEvent } from "./event.ts";
import { extendOnce } from "./extend-once.ts";
import { diskFiles, type LogFile, type LogFiles } from "./log-files.ts";
import { formatRecord, type LogRecord } from "./record.ts";
import { type RecoveredLog, recoverLog } from "./recover.ts";
import type { Register } from "./register.ts";
import { RegisterError } from "./register-fault.ts";
import { placeOf, RegisterWatch } from "./register-watch.ts";

/** Names of the log in an agent's state folder. */
export const LOG_FOLDER = "log";
export const LOG_FILE = "measurements.jsonl";
const MARK_EVERY = 256;

/**
 * The log on disk and in the TPM. One record is one extend: write, fsync, extend. When it is opened, file and register
 * are brought together again or it says why it will not.
 */
export class MeasurementLog {
  readonly path: string;
  readonly #file: LogFile;
  readonly #register: Register;
  #length = 0;
  #value: Uint8Array;
  #bytes = 0;
  /** Where every MARK_EVERYth record begins in the file. */
  readonly #marks: number[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #failure: unknown;
  readonly #watch: RegisterWatch;

  private constructor(path: string, register: Register, { file, lines, value, last }: RecoveredLog) {
    this.path = path;
    this.#file = file;
    this.#register = register;
    for (const line of lines) this.#count(line);
    this.#value = value;
    this.#watch = new RegisterWatch(register.pcr, value, placeOf(last));
  }

  /**
   * Opens the log in `folder` and goes on with it, or begins it with a `boot` record that names the last record of the
   * boot before. `records` is what it held already, `boot` how it begins. Throws what `recoverLog` does.
   */
  static async open(
    folder: string,
    register: Register,
    bootId: string,
    { files = diskFiles, time = rfc3339(Date.now()) }: { files?: LogFiles; time?: string } = {},
  ): Promise<{ log: MeasurementLog; records: readonly LogRecord[]; boot: BootEvent }> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, LOG_FILE);
    const recovered = await recoverLog({ path, register, bootId, time, files });
    const { records, boot } = recovered;
    return { log: new MeasurementLog(path, register, recovered), records, boot };
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

  /** Whether an append failed, after which file and register may be apart: only opening the log anew brings them together. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /**
   * Appends one record: it is on the disk and in the register when this comes back. Throws `log-unwritable`,
   * `extend-undecided`, and after either of them `log-failed`; `pcr-mismatch`, and so for ever; `event-invalid` or `log-too-large` for what
   * cannot be a record, which leaves the log as it was.
   */
  append(events: readonly LogEvent[]): Promise<{ recnum: number; digest: string }> {
    const result = this.#turn.then(() => this.#append(events));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /**
   * Reads the register, in turn with the appends, and compares it with the log: null when it is right. Otherwise it says what
   * happened to it, and every later append fails.
   */
  checkRegister(): Promise<RegisterError | null> {
    const result = this.#turn.then(() => this.#checkRegister());
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#file.close();
  }

  async #checkRegister(): Promise<RegisterError | null> {
    const error = this.#watch.check(await this.#register.read(), this.#value);
    this.#failure ??= error ?? undefined;
    return error;
  }

  async #append(events: readonly LogEvent[]): Promise<{ recnum: number; digest: string }> {
    const cause = this.#failure;
    if (cause instanceof RegisterError) throw cause;
    if (cause !== undefined)
      throw new PimsError("log-failed", `the log takes no more records, since one failed (${describeError(cause)})`, {
        cause,
      });
    const recnum = this.#length;
    const { line, digest } = formatRecord(recnum, this.#register.pcr, events);
    try {
      await this.#file.append(`${line}\n`);
      // After a failed fsync the kernel may have dropped the pages: trying again would prove nothing.
      await this.#file.sync();
      this.#value = await extendOnce(this.#register, digest, this.#value, (actual) => this.#watch.explain(actual));
      this.#count(line);
      this.#watch.extended(digest, placeOf({ recnum, events }));
      return { recnum, digest };
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
