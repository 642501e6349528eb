import { z } from "zod";
import { toHex } from "../core/bytes.ts";
import { digestSchema } from "../log/finding.ts";
import type { LogRecord } from "../log/record.ts";
import { replay } from "../log/replay.ts";
import type { Proved } from "./appraise.ts";
import type { Bundle } from "./bundle.ts";
import type { Check } from "./bundle-check.ts";
import { STATUSES } from "./verdict.ts";

/** A host in a checkpoint (docs/configuration.md, "Checkpoints"). */
const lineSchema = z.strictObject({
  host: z.string(),
  ak: z.string(),
  evidence: z.string(),
  acceptedAt: z.string().nullable(),
  log: z.strictObject({
    bootId: z.string().nullable(),
    records: z.int().min(0),
    digest: digestSchema.nullable(),
    value: digestSchema,
  }),
  containers: z.array(
    z.strictObject({
      runtime: z.string(),
      id: z.string(),
      image: z.string().nullable(),
      status: z.enum(STATUSES),
      reasons: z.array(z.string()),
    }),
  ),
});
type Line = z.infer<typeof lineSchema>;

/** What a checkpoint says of a log. `fixes`: which of its records, in words; null for none of them. */
export interface CheckedCheckpoint {
  readonly check: Check;
  readonly fixes: string | null;
}

/**
 * Whether the bundle's log is the one that the checkpoint in it has fixed: after as many records it must have led to the
 * same value. Null where the bundle has none. `proved`: what the quote proves of `records`; `key`: the attestation key's Name.
 */
export function checkCheckpoint(
  bundle: Bundle,
  proved: Proved,
  records: readonly LogRecord[],
  key: string,
): CheckedCheckpoint | null {
  if (bundle.checkpoint === null) return null;
  const { number, line: text } = bundle.checkpoint;
  const check = "checkpoint";
  const without = (outcome: Check["outcome"]) => (why: string) => ({
    ...{ check: { check, outcome, text: `checkpoint ${number} ${why}` }, fixes: null },
  });
  const [failed, silent] = [without("failed"), without("skipped")];
  const line = parseLine(text);
  if (line === null) return failed("has a line of another form");
  if (line.host !== bundle.host) return failed("has the line of another host");
  if (line.ak !== key) return failed("has the line of another attestation key");
  const { bootId, records: count, digest, value } = line.log;
  if (count === 0) return silent("was said before anything was proved of this host");
  if (bootId !== proved.bootId) return silent("is of another boot of the host, and fixes nothing of this log");
  if (count > proved.length)
    return silent(`is newer than the evidence: it fixes ${count} records, and the bundle has ${proved.length}`);
  const head = records.slice(0, count);
  if (toHex(replay(head.map((record) => record.digest))) !== value || head.at(-1)?.digest !== digest)
    return failed(`has fixed another log: after ${count} records its value is not this one's`);
  const which = count === proved.length ? `all ${count} records` : `the first ${count} of ${proved.length} records`;
  const said = `checkpoint ${number} fixes ${which}, of evidence accepted at ${line.acceptedAt}; its verdicts: ${verdictsOf(line)}`;
  return { check: { check, outcome: "ok", text: said }, fixes: which };
}

function parseLine(text: string): Line | null {
  try {
    const parsed: unknown = JSON.parse(text);
    const line = lineSchema.safeParse(parsed);
    // One line has one meaning: no member stands in it twice.
    return line.success && JSON.stringify(parsed) === text ? line.data : null;
  } catch {
    return null;
  }
}

function verdictsOf({ containers }: Line): string {
  const counted = STATUSES.map((status) => [containers.filter((one) => one.status === status).length, status] as const);
  const told = counted.filter(([count]) => count > 0).map(([count, status]) => `${count} ${status}`);
  return told.join(", ") || "no container";
}
