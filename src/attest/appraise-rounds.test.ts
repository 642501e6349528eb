// Appraisal over several rounds, and over what happens to a real TPM between two of them.
import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import { formatRecord } from "../log/record.ts";
import { TPM_RH_OWNER } from "../tpm/constants.ts";
import { WireWriter } from "../tpm/wire.ts";
import { type Appraisal, appraise, NOTHING_PROVED, type Proved } from "./appraise.ts";
import { collectEvidence } from "./collect.ts";
import { gapEvent, sweepEvent } from "./sample-events.ts";
import { assertAccepted, assertRefused, encodeQuote, PCR, TestHost } from "./testing.ts";

const NONCE = "5a".repeat(32);
const OTHER_NONCE = "a5".repeat(32);

test("coverage-stale: the sweep is there and was not the last thing that was quoted", async (t) => {
  const other = await TestHost.start(t);
  await other.append(sweepEvent({ nonce: NONCE }));
  await other.append(gapEvent("later"));
  const expected = { akPublic: other.akPublic, nonce: NONCE, pcr: PCR };
  assertRefused(appraise(await other.collect(NONCE, 0), expected, NOTHING_PROVED), "coverage-stale");
  const nothing = await TestHost.start(t);
  const proved = { bootId: null, length: 1, digest: null, value: toHex(nothing.log.value), tpm: null };
  const empty = await nothing.collect(NONCE, 1);
  assert.deepEqual(empty.records, []);
  assertRefused(appraise(empty, { ...expected, akPublic: nothing.akPublic }, proved), "coverage-stale");
});

test("records beyond the quoted one are kept out, whatever they say", async (t) => {
  const other = await TestHost.start(t);
  await other.append(sweepEvent({ nonce: NONCE }));
  const evidence = await collectEvidence({
    segments: other.log.segmentsFrom(0),
    from: 0,
    nonce: fromHex(NONCE),
    async quote(nonce) {
      const made = await other.quote(nonce);
      await other.append(gapEvent("after the quote"));
      await other.append(sweepEvent({ nonce: NONCE }));
      return made;
    },
  });
  assert.equal(evidence.records.length, 4);
  const expected = { akPublic: other.akPublic, nonce: NONCE, pcr: PCR };
  const first = assertAccepted(appraise(evidence, expected, NOTHING_PROVED));
  assert.deepEqual([first.proved.length, first.records.length, first.lines.length], [2, 2, 2]);
  const next = await other.answer(OTHER_NONCE, first.proved.length);
  const second = assertAccepted(appraise(next, { ...expected, nonce: OTHER_NONCE }, first.proved));
  assert.equal(second.proved.length, 5);
  assert.equal(second.proved.value, toHex(other.log.value));
});

test("two rounds: replay goes on from what the first one proved", async (t) => {
  const other = await TestHost.start(t);
  const expected = { akPublic: other.akPublic, nonce: NONCE, pcr: PCR };
  const first = assertAccepted(appraise(await other.answer(NONCE, 0), expected, NOTHING_PROVED));
  const later = await other.answer(OTHER_NONCE, first.proved.length, gapEvent("second round"));
  assert.equal(later.from, 2);
  const expectedLater = { ...expected, nonce: OTHER_NONCE };
  const second = assertAccepted(appraise(later, expectedLater, first.proved));
  assert.deepEqual([second.proved.length, second.records.length], [4, 2]);
  assert.ok(second.proved.tpm!.clock >= first.proved.tpm!.clock);
  assertRefused(appraise(later, expectedLater, { ...first.proved, value: NOTHING_PROVED.value }), "pcr-mismatch");
});

test("tpm-rolled-back: an older copy of the TPM's own state is put back", async (t) => {
  const other = await TestHost.start(t);
  await other.powerOff();
  const copy = join(other.folder, "copy");
  await cp(other.tpmState, copy, { recursive: true });
  const putBack = async () => {
    await other.powerOff();
    await rm(other.tpmState, { recursive: true });
    await cp(copy, other.tpmState, { recursive: true });
  };
  const proveOn = async (proved: Proved, nonce: string): Promise<Appraisal> => {
    const { line, digest } = formatRecord(proved.length, PCR, [sweepEvent({ nonce })]);
    await other.extend(digest);
    const evidence = { nonce, from: proved.length, records: [line], ...encodeQuote(await other.quote(fromHex(nonce))) };
    return appraise(evidence, { akPublic: other.akPublic, nonce, pcr: PCR }, proved);
  };

  // TPM2_ClockSet (part 3): the owner may put the clock forward, so that this boot's is surely ahead of its copy's.
  await other.powerOn({ log: false });
  const authorization = fromHex("00000009400000090000000000");
  const clock = 1n << 32n;
  const set = new WireWriter().u16(0x8002).u32(35).u32(0x128).u32(TPM_RH_OWNER).bytes(authorization).u64(clock).done();
  assert.equal(toHex((await other.tpm.send(set)).subarray(6, 10)), "00000000");
  const ahead = assertAccepted(await proveOn(NOTHING_PROVED, NONCE)).proved;
  assert.ok(ahead.tpm!.clock >= clock);
  await putBack();
  await other.powerOn({ log: false });
  await other.extend(formatRecord(0, PCR, [sweepEvent({ nonce: NONCE })]).digest);
  const behind = await proveOn(ahead, OTHER_NONCE);
  assertRefused(behind, "tpm-rolled-back", /clock/);

  await putBack();
  for (let boots = 0; boots < 2; boots++) {
    await other.powerOn({ log: false });
    await other.powerOff();
  }
  await other.powerOn({ log: false });
  const later = assertAccepted(await proveOn(NOTHING_PROVED, NONCE)).proved;
  await putBack();
  await other.powerOn({ log: false });
  assertRefused(await proveOn(later, OTHER_NONCE), "tpm-rolled-back", /reset count/);
});
