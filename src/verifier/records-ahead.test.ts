import assert from "node:assert/strict";
import { test } from "node:test";
import { type Evidence, MAX_RECORDS, splitEvidence } from "../attest/evidence.ts";
import { sweepEvent } from "../attest/sample-events.ts";
import { TestHost } from "../attest/testing.ts";
import { RecordsAhead } from "./records-ahead.ts";
import { Bench, TPM } from "./testing.ts";

const evidence = (from: number, records: string[]): Evidence => ({
  nonce: "",
  from,
  records,
  attest: "",
  signature: "",
});

test("what was sent ahead is put before the evidence that follows it, once", () => {
  const ahead = new RecordsAhead();
  assert.equal(ahead.add(5, ["a", "b"], 5), 7);
  assert.equal(ahead.add(7, ["c"], 5), 8);
  assert.throws(() => ahead.add(9, ["e"], 5), { code: "records-refused" });
  assert.deepEqual(ahead.complete(evidence(8, ["d"])), evidence(5, ["a", "b", "c", "d"]));
  assert.deepEqual(ahead.complete(evidence(8, ["d"])), evidence(8, ["d"]));
});

test("it starts anew at what is proved, and does not outlive a change of that", () => {
  const ahead = new RecordsAhead();
  ahead.add(5, ["x"], 5);
  assert.equal(ahead.add(5, ["a"], 5), 6);
  assert.deepEqual(ahead.complete(evidence(6, [])), evidence(5, ["a"]));
  ahead.add(5, ["a"], 5);
  assert.throws(() => ahead.add(6, ["b"], 6 + 1), { code: "records-refused" });
  assert.deepEqual(ahead.complete(evidence(9, ["z"])), evidence(9, ["z"]));
});

test("what is kept is bounded", () => {
  const ahead = new RecordsAhead();
  const megabyte = "x".repeat(1 << 20);
  let next = ahead.add(0, [], 0);
  assert.throws(
    () => {
      for (let count = 0; count < 300; count++) next = ahead.add(next, [megabyte], 0);
    },
    { code: "records-refused" },
  );
  assert.equal(next, 256);
});

test("a host that logged more than one message takes is accepted, in one proof", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  bench.verifier.enroll("node1", host.akPublic, TPM);
  for (let count = 0; count < MAX_RECORDS + 10; count++)
    await host.append({ type: "gap", time: "2026-01-02T03:04:05.000Z", text: String(count) });
  const { nonce, from } = bench.verifier.nonce("node1");
  await host.append(sweepEvent({ nonce }));
  const { ahead, last } = splitEvidence(await host.collect(nonce, from));
  assert.equal(ahead.length, 1);
  for (const { from: first, records } of ahead) bench.verifier.stage("node1", first, records);
  assert.deepEqual(await bench.verifier.appraise("node1", last), { accepted: true, records: MAX_RECORDS + 12 });
  assert.equal((await bench.verifier.reportHost("node1")).records, MAX_RECORDS + 12);
});
