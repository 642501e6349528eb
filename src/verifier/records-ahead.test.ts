import assert from "node:assert/strict";
import { test } from "node:test";
import { type Evidence, MAX_RECORDS, splitEvidence } from "../attest/evidence.ts";
import { sweepEvent } from "../attest/sample-events.ts";
import { TestHost } from "../attest/testing.ts";
import { RecordsAhead, RecordsRoom } from "./records-ahead.ts";
import { Bench, enrolled, TPM } from "./testing.ts";

const evidence = (from: number, records: string[]): Evidence => ({
  nonce: "",
  from,
  records,
  attest: "",
  signature: "",
});

test("what was sent ahead is put before the evidence that follows it, once", () => {
  const ahead = new RecordsAhead(new RecordsRoom());
  assert.equal(ahead.add(5, ["a", "b"], 5, 0), 7);
  assert.equal(ahead.add(7, ["c"], 5, 0), 8);
  assert.throws(() => ahead.add(9, ["e"], 5, 0), { code: "records-refused" });
  assert.deepEqual(ahead.complete(evidence(8, ["d"])), evidence(5, ["a", "b", "c", "d"]));
  assert.deepEqual(ahead.complete(evidence(8, ["d"])), evidence(8, ["d"]));
});

test("it starts anew at what is proved, and does not outlive a change of that", () => {
  const ahead = new RecordsAhead(new RecordsRoom());
  ahead.add(5, ["x"], 5, 0);
  assert.equal(ahead.add(5, ["a"], 5, 0), 6);
  assert.deepEqual(ahead.complete(evidence(6, [])), evidence(5, ["a"]));
  ahead.add(5, ["a"], 5, 0);
  assert.throws(() => ahead.add(6, ["b"], 6 + 1, 0), { code: "records-refused" });
  assert.deepEqual(ahead.complete(evidence(9, ["z"])), evidence(9, ["z"]));
});

test("what is kept is bounded", () => {
  const ahead = new RecordsAhead(new RecordsRoom());
  const megabyte = "x".repeat(1 << 20);
  let next = ahead.add(0, [], 0, 0);
  assert.throws(
    () => {
      for (let count = 0; count < 300; count++) next = ahead.add(next, [megabyte], 0, 0);
    },
    { code: "records-too-many" },
  );
  assert.equal(next, 255);
});

test("short lines are not kept for nothing", () => {
  const ahead = new RecordsAhead(new RecordsRoom());
  const none = Array.from({ length: 1 << 20 }, () => "");
  let next = 0;
  for (let count = 0; count < 4; count++) next = ahead.add(next, none, 0, 0);
  assert.throws(() => ahead.add(next, [""], 0, 0), { code: "records-too-many" });
  assert.equal(ahead.bytes, 0);
});

test("all hosts share one room: who has most gives way to another, and what waits too long to all", () => {
  const room = new RecordsRoom();
  const [greedy, greedier, honest] = [new RecordsAhead(room), new RecordsAhead(room), new RecordsAhead(room)];
  const quarter = Array.from({ length: 64 }, () => "x".repeat((1 << 20) - 64));
  let next = 0;
  for (let count = 0; count < 4; count++) {
    greedy.add(next, quarter, 0, 0);
    next = greedier.add(next, quarter, 0, 0);
  }
  assert.equal(honest.add(0, ["a"], 0, 30_000), 1);
  assert.equal(greedy.bytes + greedier.bytes, 256 << 20);
  assert.deepEqual(honest.complete(evidence(1, [])), evidence(0, ["a"]));
  honest.add(0, ["a"], 0, 30_000);
  room.expire(60_001);
  assert.equal(greedy.bytes + greedier.bytes, 0);
  assert.equal(honest.add(1, ["b"], 0, 90_000), 2);
  assert.throws(() => honest.add(2, ["c"], 0, 150_001), { code: "records-refused" });
});

test("where all hosts together have too much waiting, who has most is refused", () => {
  const room = new RecordsRoom();
  const mebibytes = (count: number) => Array.from({ length: count }, () => "x".repeat((1 << 20) - 64));
  const others = [new RecordsAhead(room), new RecordsAhead(room)];
  for (const one of others) one.add(0, mebibytes(130), 0, 0);
  const most = new RecordsAhead(room);
  assert.throws(() => most.add(0, mebibytes(253), 0, 0), { code: "records-refused", message: /too many hosts/ });
  assert.deepEqual([most.bytes, ...others.map(({ bytes }) => bytes >> 20)], [0, 130, 130]);
});

test("of a host that was revoked nothing is kept, and it is told of no order", async (t) => {
  const { bench } = await enrolled(t);
  const { from } = bench.verifier.nonce("node1");
  bench.verifier.stage("node1", from, ["x"]);
  const held = bench.verifier.waitForWanted("node1", 20_000, new AbortController().signal);
  bench.verifier.refuseTpm("node1", "host-revoked", "sold");
  bench.verifier.wake("node1");
  await assert.rejects(held, { code: "host-revoked" });
  const gone = bench.verifier.waitForWanted("node1", 0, new AbortController().signal);
  await assert.rejects(gone, { code: "host-revoked" });
  assert.throws(() => bench.verifier.stage("node1", from, ["x"]), { code: "host-revoked" });
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
