import { dirname } from "node:path";
import { bytesEqual, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { earlierLogPath } from "./earlier-logs.ts";
import type { BootEvent } from "./event.ts";
import { extendOnce } from "./extend-once.ts";
import type { LogFile, LogFiles } from "./log-files.ts";
import { readLog } from "./read-log.ts";
import { formatRecord, type LogRecord, parseRecord } from "./record.ts";
import type { NvBeginning, Register } from "./register.ts";
import { inUse, mismatch, ofAnotherRegister } from "./register-fault.ts";
import { replay, ZERO_PCR } from "./replay.ts";

/** A log that its register agrees with. */
export interface RecoveredLog {
  readonly file: LogFile;
  readonly lines: readonly string[];
  /** What the log held already: empty where it was begun. */
  readonly records: readonly LogRecord[];
  /** How it begins. */
  readonly boot: BootEvent;
  /** The record that it ends with. */
  readonly last: LogRecord;
  /** Of the register. */
  readonly value: Uint8Array;
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
  const { lines, torn } = await readLog(path);
  const records = lines.map((line, index) => parseRecord(line, index));
  const first = records[0]?.events[0];
  if (first !== undefined && first.type !== "boot")
    throw new PimsError("log-broken", `the log ${path} does not begin with a boot event`);
  const goesOn = first?.bootId === bootId;
  if (goesOn) {
    const foreign = records.find(({ pcr }) => pcr !== register.pcr);
    if (foreign !== undefined) throw ofAnotherRegister(foreign, register, path);
    register.goOn?.(nvBeginning(first, path));
  }
  const actual = await register.read();
  if (first === undefined || first.bootId !== bootId) {
    if (!bytesEqual(actual, ZERO_PCR))
      throw inUse(register, first === undefined ? "there is no log" : "the log is of another boot");
    return beginLog(place, records);
  }

  const digests = records.map(({ digest }) => digest);
  const before = replay(digests.slice(0, -1));
  let value = replay(digests);
  const isBehind = torn === "" && bytesEqual(before, actual);
  if (!isBehind && !bytesEqual(value, actual)) throw mismatch(register, records, actual);
  const file = await files.open(path);
  try {
    if (torn !== "") await file.truncate(lines.reduce((bytes, line) => bytes + Buffer.byteLength(line) + 1, 0));
    // Whoever wrote the last record may have been killed before it was on the disk.
    await file.sync();
    if (isBehind)
      value = await extendOnce(register, digests.at(-1)!, before, (now) => mismatch(register, records, now));
    return { file, lines, records, boot: first, last: records.at(-1)!, value };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Begins a log with a `boot` record that names the last one of the log before, which is set aside under its boot's id. At
 * every instant there is either the old log in its place or the new one with that record in it.
 */
async function beginLog(place: LogPlace, before: readonly LogRecord[]): Promise<RecoveredLog> {
  const { path, register, bootId, time, files } = place;
  const folder = dirname(path);
  const previous = endOf(before);
  const nv = await register.begin?.();
  const boot: BootEvent = { type: "boot", time, bootId, previous, ...(nv === undefined ? {} : { nv }) };
  const { line, digest } = formatRecord(0, register.pcr, [boot]);
  const draft = `${path}.new`;
  await files.write(draft, `${line}\n`);
  if (previous !== null) {
    await files.link(path, earlierLogPath(folder, previous.bootId));
    await files.syncFolder(folder);
  }
  await files.rename(draft, path);
  await files.syncFolder(folder);
  const last = { recnum: 0, pcr: register.pcr, digest, events: [boot] };
  const value = await extendOnce(register, digest, ZERO_PCR, (now) => mismatch(register, [last], now));
  return { file: await files.open(path), lines: [line], records: [], boot, last, value };
}

/** How a log ended, as the next boot's first record tells it. */
function endOf(records: readonly LogRecord[]) {
  const [first, last] = [records[0]?.events[0], records.at(-1)];
  if (first?.type !== "boot" || last === undefined) return null;
  const pcr = toHex(replay(records.map(({ digest }) => digest)));
  return { bootId: first.bootId, recnum: last.recnum, digest: last.digest, pcr };
}

function nvBeginning({ nv }: BootEvent, path: string): NvBeginning {
  if (nv === undefined)
    throw new PimsError("log-broken", `the log ${path} does not say at which count its NV index began`);
  return nv;
}
