import { fromHex, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { MAX_EARLIER_BOOTS } from "../log/earlier-logs.ts";
import { type LogRecord, parseRecord } from "../log/record.ts";
import { recordOfAnother } from "../log/register.ts";
import { replay, ZERO_PCR } from "../log/replay.ts";
import type { Proved } from "./appraise.ts";
import type { Evidence } from "./evidence.ts";

/** What was sent of one boot's log. */
export interface BootPart {
  /** Null where the log names none. */
  readonly bootId: string | null;
  /** Number of the first record, and the value of the PCR before it. */
  readonly from: number;
  readonly start: Uint8Array;
  readonly records: LogRecord[];
  readonly lines: string[];
}

/** Whether a line begins the log of a boot. */
export function beginsLog(line: string): boolean {
  return line.startsWith('{"recnum":0,');
}

/**
 * Takes what was sent apart by boots: the rest of the log that was proved, whole logs of boots in between, and the log of
 * this boot. Each must name the end of the one before, so that this boot's log leads back to what was proved, and leaves
 * nothing of it out. Pure. PimsError `log-rollback` where it does not, `log-broken` for what are no records, or of another PCR.
 * `knowsBoot` tells of the boots whose logs were taken earlier: none begins again.
 */
export function followBoots(
  evidence: Evidence,
  before: Proved,
  pcr: number,
  knowsBoot: (bootId: string) => boolean = () => false,
): { readonly told: BootPart[]; readonly current: BootPart } {
  checkStart(evidence, before);
  const told: BootPart[] = [];
  let part: BootPart = {
    ...{ bootId: before.bootId, from: before.length, start: fromHex(before.value) },
    ...{ records: [], lines: [] },
  };
  for (const line of evidence.records) {
    const anew = beginsLog(line) && part.from + part.records.length > 0;
    const record = parseRecord(line, anew ? 0 : part.from + part.records.length);
    checkBootEvents(record);
    if (anew) {
      told.push(part);
      checkLeadsBack(record, told, before, knowsBoot);
      if (told.length > MAX_EARLIER_BOOTS)
        throw new PimsError(
          "log-rollback",
          `more than ${MAX_EARLIER_BOOTS} boots lie between this one and the proved one`,
        );
      part = { bootId: null, from: 0, start: ZERO_PCR, records: [], lines: [] };
    }
    const [first] = record.events;
    if (record.recnum === 0 && first?.type === "boot") part = { ...part, bootId: first.bootId };
    part.records.push(record);
    part.lines.push(line);
  }
  // A boot before may have had another register: nothing of it is compared with the TPM any more.
  const foreign = part.records.find((record) => record.pcr !== pcr);
  if (foreign !== undefined) throw new PimsError("log-broken", recordOfAnother(foreign, pcr));
  return { told, current: part };
}

/** The value that what was sent of a boot leads to. */
export function endValue({ records, start }: BootPart): Uint8Array {
  return replay(
    records.map(({ digest }) => digest),
    start,
  );
}

/** The host may not take back a record that a quote has proved, nor leave one out. */
function checkStart({ from, records }: Evidence, { length }: Proved): void {
  if (from === length) return;
  const next = records.findIndex((line, index) => from + index > 0 && beginsLog(line));
  const end = from + (next < 0 ? records.length : next);
  if (end < length)
    throw new PimsError("log-rollback", `the log ends after ${end} records, but ${length} were already proved`);
  throw new PimsError("log-broken", `the records start at ${from} instead of ${length}`);
}

/** Anywhere else it would make containers count as stopped that run. */
function checkBootEvents({ recnum, events }: LogRecord): void {
  if (events.some(({ type }, index) => type === "boot" && (recnum > 0 || index > 0)))
    throw new PimsError("log-broken", `record ${recnum} tells of a boot, which only the beginning of a log does`);
}

function checkLeadsBack(
  { events }: LogRecord,
  told: readonly BootPart[],
  before: Proved,
  knowsBoot: (bootId: string) => boolean,
): void {
  const [boot] = events;
  const part = told.at(-1)!;
  const rollback = (what: string) => new PimsError("log-rollback", what);
  if (boot?.type !== "boot") throw rollback("the log begins anew, and not with a boot");
  const { bootId, previous } = boot;
  if (told.some((other) => other.bootId === bootId) || knowsBoot(bootId))
    throw rollback(`the log begins anew in the boot ${bootId}, which has a log already`);
  if (previous === null || previous.bootId !== part.bootId)
    throw rollback(
      `the log of the boot ${bootId} follows on ${previous?.bootId ?? "none"}, not on ${part.bootId ?? "the proved one"}`,
    );
  const end = part.from + part.records.length;
  if (told.length === 1 && previous.recnum + 1 < before.length)
    throw rollback(
      `the log of the boot ${bootId} says that the one before ended after ${previous.recnum + 1} records, but ${before.length} were already proved`,
    );
  const last = part.records.at(-1)?.digest ?? before.digest;
  const follows = previous.recnum + 1 === end && last === previous.digest && toHex(endValue(part)) === previous.pcr;
  if (!follows)
    throw rollback(
      `what was sent of the boot ${previous.bootId} does not lead to the end that the log of the boot ${bootId} names`,
    );
}
