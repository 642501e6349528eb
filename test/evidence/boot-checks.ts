// Each check of what leads from a boot's log back to what was proved of an earlier one.
import type { Proved } from "../../src/attest/appraise.ts";
import { followBoots } from "../../src/attest/follow-boots.ts";
import { gapEvent, TIME } from "../../src/attest/sample-events.ts";
import { bootIdOf, PCR } from "../../src/attest/testing.ts";
import { toHex } from "../../src/core/bytes.ts";
import { MAX_EARLIER_BOOTS } from "../../src/log/earlier-logs.ts";
import type { BootEvent, LogEvent } from "../../src/log/event.ts";
import { formatRecord } from "../../src/log/record.ts";
import { replay } from "../../src/log/replay.ts";
import { type Check, outcomeOf } from "./check.ts";

/** The log of a boot with so many records, after another one, and the end that the next one names. */
function logOf(boot: number, count: number, previous: BootEvent["previous"] = null) {
  const events: LogEvent[] = [
    { type: "boot", time: TIME, bootId: bootIdOf(boot), previous },
    ...Array.from({ length: count - 1 }, () => gapEvent("x")),
  ];
  const records = events.map((event, recnum) => formatRecord(recnum, PCR, [event]));
  const digests = records.map(({ digest }) => digest);
  const end = { bootId: bootIdOf(boot), recnum: count - 1, digest: digests.at(-1)!, pcr: toHex(replay(digests)) };
  return { lines: records.map(({ line }) => line), digests, end };
}

const LENGTH = 3;
const first = logOf(0, LENGTH + 1);
const proved: Proved = {
  ...{ bootId: bootIdOf(0), length: LENGTH, digest: first.digests[LENGTH - 1]!, tpm: null },
  value: toHex(replay(first.digests.slice(0, LENGTH))),
};
const tail = first.lines.slice(LENGTH);
const second = logOf(1, 2, first.end);

function check(name: string, reason: string, text: RegExp, records: readonly string[], from = LENGTH): Check {
  const follow = (lines: readonly string[], start: number) => {
    const evidence = { nonce: "", from: start, records: [...lines], attest: "", signature: "" };
    return outcomeOf(() => followBoots(evidence, proved, PCR));
  };
  return {
    ...{ name: `boots: ${name}`, reason, text },
    attempt: (isWrong) => (isWrong ? follow(records, from) : follow([...tail, ...second.lines], LENGTH)),
  };
}

export async function bootChecks(): Promise<Check[]> {
  const rollback = (name: string, text: RegExp, ...records: readonly string[]) =>
    check(name, "log-rollback", text, records);
  const begin = (boot: number, fields: Partial<NonNullable<BootEvent["previous"]>>) =>
    logOf(boot, 1, { ...first.end, ...fields }).lines;
  const chain: string[] = [...tail];
  for (let boot = 1, { end } = first; boot <= MAX_EARLIER_BOOTS + 1; boot++) {
    const log = logOf(boot, 1, end);
    chain.push(...log.lines);
    end = log.end;
  }
  const foreign = formatRecord(LENGTH, PCR + 1, [gapEvent("x")]).line;
  const told = { type: "boot" as const, time: TIME, bootId: bootIdOf(1), previous: null };
  const middle = formatRecord(LENGTH, PCR, [gapEvent("x"), told]).line;
  const short = { recnum: LENGTH - 2, digest: first.digests[LENGTH - 2]! };
  const leads = /does not lead to the end that the log of the boot .* names/;
  return [
    check("a record of another register", "log-broken", /is of PCR 14, not 13/, [foreign]),
    check("a boot in the middle of a log", "log-broken", /record 3 tells of a boot/, [middle]),
    check("records that were proved, again", "log-broken", /start at 2 instead of 3/, first.lines.slice(2), 2),
    check("an older log is sent", "log-rollback", /ends after 2 records, but 3 were/, second.lines, 2),
    rollback(
      "no boot at the beginning",
      /begins anew, and not with a boot/,
      formatRecord(0, PCR, [gapEvent("x")]).line,
    ),
    rollback("the same boot again", /which has a log already/, ...tail, ...begin(0, {})),
    rollback("nothing before it is named", /follows on none, not on/, ...tail, ...logOf(1, 1).lines),
    rollback(
      "another boot is named",
      /follows on .*0009, not on .*0001/,
      ...tail,
      ...begin(1, { bootId: bootIdOf(8) }),
    ),
    rollback("a proved record is not named", /ended after 2 records, but 3 were/, ...tail, ...begin(1, short)),
    rollback("the rest of the proved log is left out", leads, ...second.lines),
    rollback("another number of records is named", leads, ...tail, ...begin(1, { recnum: LENGTH + 1 })),
    rollback("another last record is named", leads, ...tail, ...begin(1, { digest: "11".repeat(32) })),
    rollback("another value is named", leads, ...tail, ...begin(1, { pcr: "11".repeat(32) })),
    rollback("too many boots lie in between", /more than 64 boots lie between/, ...chain),
  ];
}
