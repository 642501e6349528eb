import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toHex } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { BootEvent, LogEvent } from "./event.ts";
import { extendOnce } from "./extend-once.ts";
import { diskFiles, type LogFile, type LogFiles } from "./log-files.ts";
import { formatRecord, type LogRecord } from "./record.ts";
import { putInPlace, type RecoveredLog, recoverLog } from "./recover.ts";
import type { Register } from "./register.ts";
import { RegisterError } from "./register-fault.ts";
import { placeOf, RegisterWatch } from "./register-watch.ts";
import { LineMarks } from "./scan-log.ts";
import { recordsOf, type Segment, type SegmentStart, segmentPath } from "./segments.ts";

/** Names of the log in an agent's state folder. */
export const LOG_FOLDER = "log";
export const LOG_FILE = "measurements.jsonl";

/**
 * The log on disk and in the TPM. One record is one extend: write, fsync, extend. When it is opened, file and register
 * are brought together again or it says why it will not.
 */
export class MeasurementLog {
  readonly path: string;
  /** How it begins. */
  readonly boot: BootEvent;
  readonly #files: LogFiles;
  readonly #register: Register;
  #file: LogFile;
  #segments: readonly Segment[];
  #marks: LineMarks;
  #length: number;
  #value: Uint8Array;
  #turn: Promise<unknown> = Promise.resolve();
  #failure: unknown;
  readonly #watch: RegisterWatch;

  private constructor(path: string, register: Register, files: LogFiles, recovered: RecoveredLog) {
    this.path = path;
    this.boot = recovered.boot;
    this.#files = files;
    this.#register = register;
    this.#file = recovered.file;
    this.#segments = recovered.segments;
    this.#marks = recovered.marks;
    this.#length = recovered.last.recnum + 1;
    this.#value = recovered.value;
    this.#watch = new RegisterWatch(register.pcr, recovered.value, placeOf(recovered.last));
  }

  /**
   * Opens the log in `folder` and goes on with it, or begins it with a `boot` record that names the last record of the
   * boot before; `isNew` says so. Throws what `recoverLog` does.
   */
  static async open(
    folder: string,
    register: Register,
    bootId: string,
    { files = diskFiles, time = rfc3339(Date.now()) }: { files?: LogFiles; time?: string } = {},
  ): Promise<{ log: MeasurementLog; isNew: boolean }> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, LOG_FILE);
    const recovered = await recoverLog({ path, register, bootId, time, files });
    return { log: new MeasurementLog(path, register, files, recovered), isNew: recovered.isNew };
  }

  /** Its records from the first that is not pruned, one after the other. Throws `log-broken`. */
  records(): AsyncGenerator<LogRecord> {
    return recordsOf(this.#segments);
  }

  /** Where to read from this record on: what is before it is left out as far as that is known. */
  segmentsFrom(recnum: number): SegmentStart[] {
    const last = this.#segments.at(-1)!;
    const needed = this.#segments.slice(0, -1).filter((_, index) => this.#segments[index + 1]!.from > recnum);
    return [...needed, recnum < last.from ? last : { ...last, ...this.#marks.before(recnum) }];
  }

  /** Number of records, also of those that are pruned. */
  get length(): number {
    return this.#length;
  }

  /** Of the segment that is appended to. */
  get segmentBytes(): number {
    return this.#marks.bytes;
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
    return this.#inTurn(() =>
      this.#appendBy(events, async (line) => {
        await this.#file.append(`${line}\n`);
        // After a failed fsync the kernel may have dropped the pages: trying again would prove nothing.
        await this.#file.sync();
      }),
    );
  }

  /**
   * Goes on in a new segment, which a `checkpoint` opens; so many `events` will follow that tell a reader what to go on from.
   * Throws as `append` does.
   */
  rotate(events: number, time = rfc3339(Date.now())): Promise<{ recnum: number; digest: string }> {
    return this.#inTurn(async () => {
      const { type: _type, ...boot } = this.boot;
      const checkpoint = { type: "checkpoint" as const, time, boot, value: toHex(this.#value), events };
      const last = this.#segments.at(-1)!;
      const aside = segmentPath(dirname(this.path), boot.bootId, last.from);
      return this.#appendBy([checkpoint], async (line) => {
        await putInPlace(this.#files, this.path, line, aside);
        await this.#file.close();
        this.#file = await this.#files.open(this.path);
        this.#segments = [
          ...this.#segments.slice(0, -1),
          { ...last, path: aside },
          { path: this.path, from: this.#length },
        ];
        this.#marks = new LineMarks(this.#length);
      });
    });
  }

  /** Removes the segments that end before this record. Throws `log-unwritable`, which leaves them. */
  prune(recnum: number): Promise<void> {
    return this.#inTurn(async () => {
      for (;;) {
        const [oldest, next] = this.#segments;
        if (next === undefined || next.from > recnum) return;
        await this.#files.remove(oldest!.path);
        // One by one, so that no later one is gone and an earlier one there after a power failure.
        await this.#files.syncFolder(dirname(this.path));
        this.#segments = this.#segments.slice(1);
      }
    });
  }

  /**
   * Reads the register, in turn with the appends, and compares it with the log: null when it is right. Otherwise it says what
   * happened to it, and every later append fails.
   */
  checkRegister(): Promise<RegisterError | null> {
    return this.#inTurn(async () => {
      const error = this.#watch.check(await this.#register.read(), this.#value);
      this.#failure ??= error ?? undefined;
      return error;
    });
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#file.close();
  }

  /** Makes a record of the events, has it put on the disk, and extends it. */
  async #appendBy(
    events: readonly LogEvent[],
    write: (line: string) => Promise<void>,
  ): Promise<{ recnum: number; digest: string }> {
    const cause = this.#failure;
    if (cause instanceof RegisterError) throw cause;
    if (cause !== undefined)
      throw new PimsError("log-failed", `the log takes no more records, since one failed (${describeError(cause)})`, {
        cause,
      });
    const recnum = this.#length;
    const { line, digest } = formatRecord(recnum, this.#register.pcr, events);
    try {
      await write(line);
      this.#value = await extendOnce(this.#register, digest, this.#value, (actual) => this.#watch.explain(actual));
      this.#marks.add(line);
      this.#length++;
      this.#watch.extended(digest, placeOf({ recnum, events }));
      return { recnum, digest };
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
