import { dirname } from "node:path";
import { bytesEqual, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import type { BootEvent } from "./event.ts";
import { extendOnce } from "./extend-once.ts";
import type { LogFile, LogFiles } from "./log-files.ts";
import { formatRecord, type LogRecord, parseHead, parseRecord } from "./record.ts";
import type { NvBeginning, Register } from "./register.ts";
import { inUse, mismatch, ofAnotherRegister } from "./register-fault.ts";
import { ZERO_PCR } from "./replay.ts";
import { LineMarks, type ScannedLog, scanLog } from "./scan-log.ts";
import { earlierLogPath, recordsOf, type Segment } from "./segments.ts";

/** A log that its register agrees with. */
export interface RecoveredLog {
  readonly file: LogFile;
  readonly segments: readonly Segment[];
  /** How it begins, and whether that was now. */
  readonly boot: BootEvent;
  readonly isNew: boolean;
  /** The record that it ends with. */
  readonly last: LogRecord;
  /** Of the register. */
  readonly value: Uint8Array;
  /** Of the last segment. */
  readonly marks: LineMarks;
}

/** What is needed to bring a log and its register together. */
export interface LogPlace {
  readonly path: string;
  readonly register: Register;
  readonly bootId: string;
  /** Of a `boot` event that is written now. */
  readonly time: string;
  readonly files: LogFiles;
}

/**
 * Brings the log at `path` and its register together. The register decides: equal to the whole log, go on; equal to the log
 * without its last record, that record's extend is made up for; a torn last line with the register at the whole lines
 * before it is cut off. Where there is no log, or one of another boot, and the register is untouched, a new one is begun.
 *
 * Anything else is PimsError `pcr-mismatch`; `log-broken` is a line that is no record; `log-unwritable`, `extend-undecided`.
 */
export async function recoverLog(place: LogPlace): Promise<RecoveredLog> {
  const { path, register, bootId, files } = place;
  const scanned = await scanLog(path);
  const goesOn = scanned?.boot.bootId === bootId;
  if (goesOn) {
    const foreign = scanned.notOf(register.pcr);
    if (foreign !== null) throw ofAnotherRegister(foreign, register, path);
    register.goOn?.(nvBeginning(scanned.boot, path));
  }
  const actual = await register.read();
  if (!goesOn) {
    if (!bytesEqual(actual, ZERO_PCR))
      throw inUse(register, scanned === null ? "there is no log" : "the log is of another boot");
    return beginLog(place, scanned);
  }

  const { segments, boot, start, before, lastLine, marks, torn } = scanned;
  let { value } = scanned;
  const explain = (now: Uint8Array) => mismatch(register, recordsOf(segments), start, now);
  const isBehind = !torn && bytesEqual(before, actual);
  if (!isBehind && !bytesEqual(value, actual)) throw await explain(actual);
  const last = parseRecord(lastLine, scanned.end - 1);
  const file = await files.open(path);
  try {
    if (torn) await file.truncate(marks.bytes);
    // Whoever wrote the last record may have been killed before it was on the disk.
    await file.sync();
    if (isBehind) value = await extendOnce(register, last.digest, before, explain);
    return { file, segments, boot, isNew: false, last, value, marks };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Begins a log with a `boot` record that names the last one of the log before, which is set aside under its boot's id.
 */
async function beginLog(place: LogPlace, before: ScannedLog | null): Promise<RecoveredLog> {
  const { path, register, bootId, time, files } = place;
  const previous = endOf(before);
  const nv = await register.begin?.();
  const boot: BootEvent = { type: "boot", time, bootId, previous, ...(nv === undefined ? {} : { nv }) };
  const { line, digest } = formatRecord(0, register.pcr, [boot]);
  await putInPlace(files, path, line, previous === null ? null : earlierLogPath(dirname(path), previous.bootId));
  const last = { recnum: 0, pcr: register.pcr, digest, events: [boot] };
  const segments = [{ path, from: 0 }];
  const explain = (now: Uint8Array) => mismatch(register, recordsOf(segments), ZERO_PCR, now);
  const value = await extendOnce(register, digest, ZERO_PCR, explain);
  const marks = new LineMarks(0);
  marks.add(line);
  return { file: await files.open(path), segments, boot, isNew: true, last, value, marks };
}

/**
 * A new file at `path` that begins with this line; the one that is there gets the name `aside`. At every instant there is
 * either the old one in its place, or the new one with the line in it.
 */
export async function putInPlace(files: LogFiles, path: string, line: string, aside: string | null): Promise<void> {
  const draft = `${path}.new`;
  await files.write(draft, `${line}\n`);
  if (aside !== null) {
    await files.link(path, aside);
    await files.syncFolder(dirname(path));
  }
  await files.rename(draft, path);
  await files.syncFolder(dirname(path));
}

/** How a log ended, as the next boot's first record tells it. */
function endOf(log: ScannedLog | null): BootEvent["previous"] {
  if (log === null) return null;
  const { boot, end, lastLine, value } = log;
  return { bootId: boot.bootId, recnum: end - 1, digest: parseHead(lastLine, end - 1).digest, pcr: toHex(value) };
}

function nvBeginning({ nv }: BootEvent, path: string): NvBeginning {
  if (nv === undefined)
    throw new PimsError("log-broken", `the log ${path} does not say at which count its NV index began`);
  return nv;
}
