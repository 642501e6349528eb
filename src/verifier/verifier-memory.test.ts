// What a verifier knows over time and over its own restarts.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { actionEvent, gapEvent, violationEvent } from "../attest/sample-events.ts";
import { Bench, enrolled, reasonOf, STALE_MS, web } from "./testing.ts";

test("started again on the same folder it gives the same report and goes on where the proof stood", async (t) => {
  const { bench, host, token } = await enrolled(t);
  assert.equal(reasonOf(await bench.attest(host, violationEvent(web), actionEvent(web))), "accepted");
  const open = await bench.evidence(host);
  const before = await bench.verifier.report();
  assert.equal(before[0]!.containers[0]!.status, "untrusted");
  bench.restart();
  assert.deepEqual(await bench.verifier.report(), before);
  assert.equal(bench.verifier.isHostToken("node1", token), true);
  assert.equal(reasonOf(await bench.verifier.appraise("node1", open)), "nonce-mismatch", "nonces do not survive");
  const { from } = bench.verifier.nonce("node1");
  assert.equal(from, 5);
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  assert.equal((await bench.verifier.reportHost("node1")).records, 7);
});

test("many records are rebuilt in pieces", async (t) => {
  const { bench, host } = await enrolled(t);
  for (let count = 0; count < 1100; count++) await host.append(gapEvent(String(count)));
  assert.equal(reasonOf(await bench.attest(host, violationEvent(web))), "accepted");
  const before = await bench.verifier.report();
  assert.equal(before[0]!.records, 1105);
  bench.restart();
  assert.deepEqual(await bench.verifier.report(), before);
  assert.equal(bench.verifier.records("node1", 0).length, 1024);
  assert.equal(bench.verifier.records("node1", 1024).length, 81);
});

test("a database in which a proved record is gone, altered or exchanged is not worked with", async (t) => {
  const { bench, host } = await enrolled(t);
  await bench.attest(host, violationEvent(web));
  for (const sql of [
    "UPDATE records SET line = replace(line, 'code-modified', 'coverage-stale')",
    "DELETE FROM records WHERE recnum = 3",
    "DELETE FROM records WHERE recnum >= 3",
    "UPDATE hosts SET proved_length = 3",
    "UPDATE hosts SET tpm = '{'",
  ]) {
    const copy = `${bench.path}.copy`;
    const database = new DatabaseSync(bench.path);
    database.exec(`VACUUM INTO '${copy}'`);
    database.close();
    const altered = new Bench(copy);
    assert.throws(() => altered.restartAltered(sql), { code: "store-unusable", message: /damaged/ }, sql);
    altered.store.close();
    rmSync(copy);
  }
});

test("without evidence a host and its containers turn stale at the deadline, and good again with the next", async (t) => {
  const { bench, host } = await enrolled(t);
  bench.clock.pass(STALE_MS);
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
  bench.clock.pass(1);
  assert.deepEqual(await bench.statuses(), ["stale", "stale"]);
  bench.restart();
  const [report] = await bench.verifier.report();
  assert.deepEqual([report?.evidence, report?.text], ["stale", "no evidence of the host for more than 60 s"]);
  assert.equal(reasonOf(await bench.attest(host, violationEvent(web))), "accepted");
  bench.clock.pass(STALE_MS + 1);
  assert.deepEqual(await bench.statuses(), ["stale", "untrusted"]);
});

test("a wall clock that is set back does not keep a silent host good", async (t) => {
  const { bench } = await enrolled(t);
  bench.clock.wall -= 1000;
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
  bench.clock.wall -= 86_400_000;
  assert.deepEqual(await bench.statuses(), ["stale", "stale"]);
});

test("a verdict is kept when it is another than before, and only then", async (t) => {
  const { bench, host } = await enrolled(t);
  const verdicts = () => {
    const database = new DatabaseSync(bench.path, { readOnly: true });
    const rows = database.prepare("SELECT status, reasons FROM verdicts ORDER BY id").all();
    database.close();
    return rows.map(({ status, reasons }) => [status, JSON.parse(String(reasons))]);
  };
  await bench.attest(host);
  assert.deepEqual(verdicts(), [["trusted", []]]);
  await bench.attest(host, violationEvent(web));
  await bench.attest(host);
  bench.restart();
  await bench.attest(host, violationEvent(web, { reason: "unknown-library" }));
  assert.deepEqual(verdicts(), [
    ["trusted", []],
    ["untrusted", ["code-modified"]],
    ["untrusted", ["code-modified", "unknown-library"]],
  ]);
});
