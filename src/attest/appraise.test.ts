import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import type { LogEvent } from "../log/event.ts";
import { formatRecord, parseRecord } from "../log/record.ts";
import { replay } from "../log/replay.ts";
import { AK_TEMPLATE, createAk } from "../tpm/attestation-key.ts";
import { flushContext } from "../tpm/commands/context.ts";
import { createPrimary } from "../tpm/commands/create-primary.ts";
import { quote } from "../tpm/commands/quote.ts";
import { TPM_RH_ENDORSEMENT, TPM_RH_OWNER } from "../tpm/constants.ts";
import { attestationTemplate } from "../tpm/templates.ts";
import { type Appraisal, appraise, NOTHING_PROVED, type Proved } from "./appraise.ts";
import type { Evidence } from "./evidence.ts";
import { gapEvent, sweepEvent } from "./sample-events.ts";
import { assertAccepted, assertRefused, encodeQuote, PCR, TestHost } from "./testing.ts";

const NONCE = "5a".repeat(32);
const OTHER_NONCE = "a5".repeat(32);

// One host and one good evidence of it for all tests that only alter evidence.
const undos: (() => Promise<void>)[] = [];
after(async () => {
  for (const undo of undos.toReversed()) await undo();
});
let host: TestHost;
let good: Evidence;

before(async () => {
  host = await TestHost.start({ after: (undo) => void undos.push(undo) });
  good = await host.answer(NONCE, 0, gapEvent("first"), gapEvent("second"));
});

function judge(evidence: Evidence, proved: Proved = NOTHING_PROVED, nonce = NONCE): Appraisal {
  return appraise(evidence, { akPublic: host.akPublic, nonce, pcr: PCR }, proved);
}

/** The record with other events, and a digest that fits. */
function rewrite(line: string, recnum: number, events: readonly LogEvent[], pcr = PCR): string {
  assert.equal(parseRecord(line, recnum).recnum, recnum);
  return formatRecord(recnum, pcr, events).line;
}

const replaced = (index: number, line: string): Evidence => ({
  ...good,
  records: good.records.map((record, at) => (at === index ? line : record)),
});

test("good evidence proves its records and the value they lead to", () => {
  const { proved, records, lines } = assertAccepted(judge(good));
  assert.equal(proved.length, 3);
  assert.equal(proved.value, toHex(replay(records.map(({ digest }) => digest))));
  assert.deepEqual(
    records.map(({ events }) => events.map(({ type }) => type)),
    [["boot"], ["gap", "gap"], ["sweep"]],
  );
  assert.deepEqual(lines, good.records);
  assert.ok(proved.tpm !== null && proved.tpm.resetCount > 0);
});

test("log-broken: only a record's content is altered", () => {
  assertRefused(judge(replaced(1, good.records[1]!.replace("first", "thirst"))), "log-broken", /record 1 .*digest/);
});

test("log-broken: only a record is missing, in the middle or at the beginning", () => {
  const records = good.records.toSpliced(1, 1);
  assertRefused(judge({ ...good, records }), "log-broken", /record 1 .*missing/);
  assertRefused(judge({ ...good, records: good.records.slice(1) }), "log-broken", /record 0 .*missing/);
});

test("log-broken: only the numbers have a hole, a double or another order", () => {
  const [boot, gap, sweep] = good.records as [string, string, string];
  assertRefused(judge(replaced(2, sweep.replace('"recnum":2', '"recnum":3'))), "log-broken", /record 2/);
  assertRefused(judge({ ...good, records: [boot, gap, gap, sweep] }), "log-broken", /record 2/);
  assertRefused(judge({ ...good, records: [boot, sweep, gap] }), "log-broken", /record 1/);
});

test("log-broken: only the PCR that a record names is another", () => {
  const { events } = parseRecord(good.records[1]!, 1);
  const foreign = rewrite(good.records[1]!, 1, events, 14);
  assert.equal(parseRecord(foreign, 1).digest, parseRecord(good.records[1]!, 1).digest);
  assertRefused(judge(replaced(1, foreign)), "log-broken", /record 1 is of PCR 14/);
});

test("log-broken: a line is no record at all", () => {
  for (const line of ["", "{}", "null", good.records[1]!.slice(0, -1), `${good.records[1]} `, `${good.records[1]}\n`])
    assertRefused(judge(replaced(1, line)), "log-broken", /record 1/);
});

test("log-broken: only the records start later or earlier than what was proved", () => {
  const { proved } = assertAccepted(judge(good));
  assertRefused(judge(good, proved), "log-broken", /start at 0 instead of 3/);
  assertRefused(judge({ ...good, from: 1 }), "log-broken", /start at 1 instead of 0/);
});

test("log-rollback: only the end of the proved log is gone", () => {
  const { proved } = assertAccepted(judge(good));
  for (const from of [0, 1, 2])
    assertRefused(
      judge({ ...good, from, records: [] }, proved),
      "log-rollback",
      new RegExp(`ends after ${from} records`),
    );
  assertRefused(judge({ ...good, from: 0, records: good.records.slice(0, 2) }, proved), "log-rollback");
});

test("quote-invalid: only the key is another, as good as the attestation key", async () => {
  const key = await createPrimary(host.tpm, TPM_RH_ENDORSEMENT, attestationTemplate("rsa-2048"));
  try {
    const foreign = await quote(host.tpm, { keyHandle: key.handle, nonce: fromHex(NONCE), pcrs: [PCR] });
    const evidence = { ...good, ...encodeQuote(foreign) };
    assertRefused(judge(evidence), "quote-invalid", /signature/);
    const theirs = appraise(evidence, { akPublic: key.publicArea, nonce: NONCE, pcr: PCR }, NOTHING_PROVED);
    assertAccepted(theirs);
  } finally {
    await flushContext(host.tpm, key.handle);
  }
});

test("quote-invalid: only the key's hierarchy is another", async () => {
  const key = await createPrimary(host.tpm, TPM_RH_OWNER, AK_TEMPLATE);
  try {
    const foreign = await quote(host.tpm, { keyHandle: key.handle, nonce: fromHex(NONCE), pcrs: [PCR] });
    const evidence = { ...good, ...encodeQuote(foreign) };
    const theirs = appraise(evidence, { akPublic: key.publicArea, nonce: NONCE, pcr: PCR }, NOTHING_PROVED);
    assertRefused(theirs, "quote-invalid", /endorsement hierarchy/);
  } finally {
    await flushContext(host.tpm, key.handle);
  }
});

test("quote-invalid: only the quoted set of PCRs is another", async () => {
  const { handle } = await createAk(host.tpm);
  for (const pcrs of [[14], [13, 14]]) {
    const other = await quote(host.tpm, { keyHandle: handle, nonce: fromHex(NONCE), pcrs });
    assertRefused(judge({ ...good, ...encodeQuote(other) }), "quote-invalid", /exactly PCR 13/);
  }
});

test("quote-invalid: every bit of a real attestation and its signature counts", () => {
  for (const part of ["attest", "signature"] as const) {
    const whole = new Uint8Array(Buffer.from(good[part], "base64"));
    assert.ok(whole.length > 60);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bytes = whole.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const appraisal = judge({ ...good, [part]: Buffer.from(bytes).toString("base64") });
      assert.equal(appraisal.accepted ? "accepted" : appraisal.reason, "quote-invalid", `bit ${bit} of ${part}`);
    }
    for (let length = 0; length < whole.length; length++) {
      const cut = Buffer.from(whole.subarray(0, length)).toString("base64");
      assertRefused(judge({ ...good, [part]: cut }), "quote-invalid");
    }
  }
});

test("nonce-mismatch: only the quote is an older one, over the very same PCR value", async () => {
  const old = await host.quote(fromHex(OTHER_NONCE));
  assertRefused(judge({ ...good, ...encodeQuote(old) }), "nonce-mismatch");
  assertRefused(judge(good, NOTHING_PROVED, OTHER_NONCE), "nonce-mismatch");
});

test("pcr-mismatch: only a record is rewritten, its digest made to fit", () => {
  assertRefused(judge(replaced(1, rewrite(good.records[1]!, 1, [gapEvent("nothing happened")]))), "pcr-mismatch");
});

test("pcr-mismatch: only the last record is withheld, or one is added before the sweep", () => {
  assertRefused(judge({ ...good, records: good.records.slice(0, 2) }), "pcr-mismatch");
  const sweep = rewrite(good.records[2]!.replace('"recnum":2', '"recnum":3'), 3, [sweepEvent({ nonce: NONCE })]);
  const added = formatRecord(2, PCR, [gapEvent("added")]).line;
  assertRefused(judge({ ...good, records: [...good.records.slice(0, 2), added, sweep] }), "pcr-mismatch");
});

test("pcr-mismatch: only the value that replay starts from is another", () => {
  assertRefused(judge(good, { ...NOTHING_PROVED, value: "01".repeat(32) }), "pcr-mismatch");
});

test("pcr-mismatch: the sentence says since when, and what the agent says; a register at zero shows by itself", async (t) => {
  const other = await TestHost.start(t);
  const expected = { akPublic: other.akPublic, nonce: NONCE, pcr: PCR };
  const first = assertAccepted(appraise(await other.answer(NONCE, 0), expected, NOTHING_PROVED));
  await other.append(sweepEvent({ nonce: NONCE }));
  // After the agent has looked and before the quote, so the agent has nothing to say.
  await other.extend("5a".repeat(32));
  const evidence = await other.collect(NONCE, first.proved.length);
  const proved = { ...first.proved, tpm: null };
  assertRefused(
    appraise(evidence, expected, proved),
    "pcr-mismatch",
    /quoted PCR value: after record 1, the last that was proved, records were altered or left out, or another program extended PCR 13 of the TPM$/,
  );
  const since = { recnum: 1, time: "2026-01-02T03:04:05.678Z" };
  assertRefused(
    appraise({ ...evidence, fault: { kind: "extended", since } }, expected, proved),
    "pcr-mismatch",
    /: the agent says that PCR 13 of the TPM was extended by another program after record 1 \(2026-01-02T03:04:05\.678Z\)$/,
  );
  const { handle } = await createAk(other.tpm);
  const zero = await quote(other.tpm, { keyHandle: handle, nonce: fromHex(NONCE), pcrs: [16] });
  const lines = good.records.map((line, index) => rewrite(line, index, parseRecord(line, index).events, 16));
  assertRefused(
    appraise(
      { ...good, records: lines, ...encodeQuote(zero) },
      { ...expected, pcr: 16 },
      { ...NOTHING_PROVED, value: "01".repeat(32) },
    ),
    "pcr-mismatch",
    /: PCR 16 of the TPM was set back to zero$/,
  );
  // What the agent says makes nothing of good evidence.
  assertAccepted(judge({ ...good, fault: { kind: "reset", since: null } }));
});

test("tpm-rolled-back: only the clock, the reset count or the restart count is lower than before", () => {
  const { tpm } = assertAccepted(judge(good)).proved;
  assert.ok(tpm !== null);
  const since = (fields: Partial<typeof tpm>): Proved => ({ ...NOTHING_PROVED, tpm: { ...tpm, ...fields } });
  assertAccepted(judge(good, since({})));
  assertRefused(judge(good, since({ clock: tpm.clock + 1n })), "tpm-rolled-back");
  assertRefused(judge(good, since({ resetCount: tpm.resetCount + 1, clock: 0n })), "tpm-rolled-back");
  assertRefused(judge(good, since({ restartCount: tpm.restartCount + 1, clock: 0n })), "tpm-rolled-back");
});

test("coverage-stale: only the last record is no sweep, or one that answers another nonce", async (t) => {
  for (const events of [[gapEvent("no sweep")], [sweepEvent({ nonce: OTHER_NONCE })], [sweepEvent({ nonce: "" })]]) {
    const other = await TestHost.start(t);
    await other.append(...events);
    const evidence = await other.collect(NONCE, 0);
    assertRefused(
      appraise(evidence, { akPublic: other.akPublic, nonce: NONCE, pcr: PCR }, NOTHING_PROVED),
      "coverage-stale",
    );
  }
});
