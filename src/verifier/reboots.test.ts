import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { splitEvidence } from "../attest/evidence.ts";
import {
  codeEvent,
  containerOf,
  gapEvent,
  startEvent,
  stopEvent,
  sweepEvent,
  violationEvent,
} from "../attest/sample-events.ts";
import { bootIdOf } from "../attest/testing.ts";
import { earlierLogPath } from "../log/earlier-logs.ts";
import { enrolled, listed, reasonOf, TPM, web } from "./testing.ts";

test("a host goes on over a reboot; its containers have stopped until they are seen again", async (t) => {
  const { bench, host } = await enrolled(t);
  await host.append(gapEvent("not quoted"));
  await host.reboot();
  assert.deepEqual(await bench.attest(host), { accepted: true, records: 2 });
  const report = await bench.verifier.reportHost("node1");
  assert.deepEqual([report.evidence, report.containers.length], ["good", 1]);
  assert.notEqual(report.containers[0]?.stoppedAt, null);
  const { last, ...totals } = report.boots;
  assert.deepEqual(totals, { known: 2, told: 1, unloggedResets: 0, resumes: 0 });
  assert.deepEqual(
    last.map(({ bootId, records, proved }) => [bootId, records, proved]),
    [
      [bootIdOf(0), 4, 3],
      [bootIdOf(1), 2, 2],
    ],
  );
  assert.equal(reasonOf(await bench.attest(host, startEvent(web), codeEvent(web, listed))), "accepted");
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
  assert.equal((await bench.verifier.reportHost("node1")).containers[0]?.stoppedAt, null);
});

test("what was found stays over reboots, over the verifier's restarts, and when it was only told", async (t) => {
  const { bench, host } = await enrolled(t);
  const [app, quiet] = [containerOf("app"), containerOf("quiet")];
  await bench.attest(host, startEvent(app), violationEvent(app));
  await host.append(startEvent(quiet), codeEvent(quiet, "/tmp/dropped"), violationEvent(quiet));
  await host.reboot();
  await host.append(gapEvent("a boot in between"));
  await host.reboot();
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  assert.equal(reasonOf(await bench.attest(host, startEvent(app), startEvent(web), startEvent(quiet))), "accepted");
  const before = await bench.verifier.reportHost("node1");
  assert.deepEqual(
    before.containers.map(({ container, status, stoppedAt }) => [container.name, status, stoppedAt]),
    [
      ["web", "trusted", null],
      ["app", "untrusted", null],
      ["quiet", "untrusted", null],
    ],
  );
  assert.deepEqual([before.boots.known, before.boots.told], [3, 3]);
  bench.restart();
  assert.deepEqual(await bench.verifier.reportHost("node1"), before);
  await host.reboot("state");
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
});

test("records of boots that are over can be read, and must still lead to what was proved and told", async (t) => {
  const { bench, host } = await enrolled(t);
  await host.append(gapEvent("not quoted"));
  await host.reboot();
  await bench.attest(host);
  assert.equal(bench.verifier.records("node1", 0).length, 2);
  assert.equal(bench.verifier.records("node1", 1, bootIdOf(0)).length, 3);
  assert.throws(() => bench.verifier.records("node1", 0, bootIdOf(7)), { code: "boot-unknown" });
  for (const [recnum, boot] of [
    [1, 0],
    [3, 0],
    [0, 1],
  ]) {
    const put = (from: string, to: string) =>
      `UPDATE records SET line = replace(line, '${from}', '${to}') WHERE recnum = ${recnum} AND boot = ${boot}`;
    assert.throws(() => bench.restartAltered(put("2026", "2025")), { code: "store-unusable" });
    bench.restartAltered(put("2025", "2026"));
  }
  assert.throws(() => bench.restartAltered("DELETE FROM boots WHERE ordinal = 1"), { code: "store-unusable" });
});

test("a rollback is refused and takes nothing away; the honest log is accepted afterwards", async (t) => {
  const { bench, host } = await enrolled(t);
  await host.append(violationEvent(web));
  await host.reboot();
  const cut = await bench.evidence(host);
  const records = cut.records.slice(1);
  assert.equal(reasonOf(await bench.verifier.appraise("node1", { ...cut, records })), "log-rollback");
  assert.deepEqual(await bench.statuses(), ["refused", "unknown"]);
  const { boots, reason } = await bench.verifier.reportHost("node1");
  assert.deepEqual([boots.known, reason, bench.verifier.records("node1", 0).length], [1, "log-rollback", 3]);
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  assert.deepEqual(await bench.statuses(), ["good", "untrusted"]);
});

test("a host that is rebooted while it sends, and one that is enrolled anew", async (t) => {
  const { bench, host } = await enrolled(t);
  await host.reboot();
  const unfinished = bench.verifier.nonce("node1");
  await host.append(sweepEvent({ nonce: unfinished.nonce }));
  const { from, records } = await host.collect(unfinished.nonce, unfinished.from, unfinished.boot);
  bench.verifier.stage("node1", from, records);
  await host.reboot();
  assert.deepEqual(await bench.attest(host), { accepted: true, records: 2 });
  assert.equal((await bench.verifier.reportHost("node1")).boots.told, 2);
  await host.reboot();
  bench.verifier.enroll("node1", host.akPublic, TPM, { anew: true });
  assert.deepEqual(await bench.attest(host), { accepted: true, records: 2 });
  assert.deepEqual((await bench.verifier.reportHost("node1")).boots.known, 1);
});

test("what was told goes ahead of the evidence where one message does not take it", async (t) => {
  const { bench, host } = await enrolled(t);
  for (let count = 0; count < 20; count++) await host.append(gapEvent(`${count} ${"x".repeat(8000)}`));
  await host.reboot();
  const evidence = await bench.evidence(host);
  const [first, second, last] = [
    evidence.records.slice(0, 7),
    evidence.records.slice(7, 15),
    evidence.records.slice(15),
  ];
  assert.equal(bench.verifier.stage("node1", evidence.from, first), evidence.from + 7);
  bench.verifier.stage("node1", evidence.from + 7, second);
  const rest = { ...evidence, from: evidence.from + 15, records: last };
  assert.deepEqual(await bench.verifier.appraise("node1", rest), { accepted: true, records: 2 });
  assert.equal((await bench.verifier.reportHost("node1")).boots.told, 20);
  assert.deepEqual(splitEvidence(evidence).ahead, []);
});

test("log-rollback: what an agent whose old log is gone sends", async (t) => {
  const { bench, host } = await enrolled(t);
  await host.append(stopEvent(web));
  await host.reboot();
  await writeFile(earlierLogPath(host.logFolder, bootIdOf(0)), "");
  assert.equal(reasonOf(await bench.attest(host)), "log-rollback");
});

test("log-rollback: a boot calls itself as an earlier one, whose records stay in reach", async (t) => {
  const { bench, host } = await enrolled(t);
  await host.reboot();
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  const before = bench.verifier.records("node1", 0, bootIdOf(0));
  await rm(earlierLogPath(host.logFolder, bootIdOf(0)));
  await host.reboot("none", 0);
  const outcome = await bench.attest(host);
  assert.equal(reasonOf(outcome), "log-rollback");
  assert.match(outcome.accepted ? "" : outcome.text, /which has a log already/);
  assert.deepEqual(bench.verifier.records("node1", 0, bootIdOf(0)), before);
  await host.reboot("none", 2);
  assert.equal(reasonOf(await bench.attest(host)), "log-rollback", "nor is it told of as one in between");
});

test("a suspension is counted, and nothing else changes", async (t) => {
  const { bench, host } = await enrolled(t);
  await host.powerOff("state");
  await host.powerOn({ startup: "state" });
  assert.deepEqual(await bench.attest(host), { accepted: true, records: 4 });
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
  const { boots } = await bench.verifier.reportHost("node1");
  assert.deepEqual([boots.known, boots.resumes, boots.told], [1, 1, 0]);
});
