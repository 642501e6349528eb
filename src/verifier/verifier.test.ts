import assert from "node:assert/strict";
import { test } from "node:test";
import { hostReportSchema } from "../attest/report.ts";
import {
  actionEvent,
  codeEvent,
  containerOf,
  gapEvent,
  startEvent,
  sweepEvent,
  TIME,
  violationEvent,
} from "../attest/sample-events.ts";
import { encodeQuote, TestHost } from "../attest/testing.ts";
import { fromHex } from "../core/bytes.ts";
import type { LogEvent } from "../log/event.ts";
import { AK_TEMPLATE } from "../tpm/attestation-key.ts";
import { createPrimary } from "../tpm/commands/create-primary.ts";
import { TPM_RH_OWNER } from "../tpm/constants.ts";
import { Bench, enrolled, reasonOf, TPM, web } from "./testing.ts";

test("a host is enrolled by name and attestation key, and nothing is trusted before its first evidence", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  for (const name of ["", "-a", "a b", "a/b", "ä", "a".repeat(64), "a\n"])
    assert.throws(() => bench.verifier.enroll(name, host.akPublic, TPM), { code: "host-invalid" }, name);
  for (const key of [new Uint8Array(), AK_TEMPLATE.slice(1), host.akPublic.slice(0, -1)])
    assert.throws(() => bench.verifier.enroll("node1", key, TPM), { code: "quote-invalid" });
  assert.deepEqual(await bench.verifier.report(), []);
  assert.throws(() => bench.verifier.nonce("node1"), { code: "host-unknown" });

  const token = bench.verifier.enroll("node1", host.akPublic, TPM);
  assert.match(token, /^[0-9a-f]{64}$/);
  assert.equal(bench.verifier.isHostToken("node1", token), true);
  for (const [name, shown] of [
    ["node1", ""],
    ["node1", "0".repeat(64)],
    ["node2", token],
  ] as const)
    assert.equal(bench.verifier.isHostToken(name, shown), false);
  const { evidence, containers, records } = await bench.verifier.reportHost("node1");
  assert.deepEqual([evidence, containers, records], ["none", [], 0]);
});

test("the same key again renews the token and keeps what was proved; another key is tpm-changed", async (t) => {
  const { bench, host, token } = await enrolled(t);
  const renewed = bench.verifier.enroll("node1", host.akPublic, TPM);
  assert.notEqual(renewed, token);
  assert.equal(bench.verifier.isHostToken("node1", token), false);
  assert.equal(bench.verifier.isHostToken("node1", renewed), true);
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);

  const other = await createPrimary(host.tpm, TPM_RH_OWNER, AK_TEMPLATE);
  assert.throws(() => bench.verifier.enroll("node1", other.publicArea, TPM), { code: "tpm-changed" });
  assert.equal(bench.verifier.isHostToken("node1", renewed), true);
  assert.deepEqual(await bench.statuses(), ["refused", "unknown"]);
  assert.equal((await bench.verifier.reportHost("node1")).reason, "tpm-changed");
  assert.equal(reasonOf(await bench.attest(host)), "accepted", "the enrolled key is still the one that counts");
});

test("evidence is taken once: sent again, also at the same time, it is refused", async (t) => {
  const { bench, host } = await enrolled(t);
  const evidence = await bench.evidence(host);
  const outcomes = await Promise.all([1, 2, 3].map(() => bench.verifier.appraise("node1", evidence)));
  assert.deepEqual(outcomes.map(reasonOf), ["accepted", "nonce-mismatch", "nonce-mismatch"]);
  assert.deepEqual(await bench.statuses(), ["refused", "unknown"]);
  assert.equal(bench.verifier.nonce("node1").from, 4);
});

test("a nonce is open for a minute, for its host only, and one that was used up by a refusal stays used up", async (t) => {
  const { bench, host } = await enrolled(t);
  const late = await bench.evidence(host);
  bench.clock.pass(60_001);
  assert.equal(reasonOf(await bench.verifier.appraise("node1", late)), "nonce-mismatch");

  bench.verifier.enroll("node2", host.akPublic, TPM);
  const foreign = await bench.evidence(host);
  assert.equal(reasonOf(await bench.verifier.appraise("node2", { ...foreign, from: 0 })), "nonce-mismatch");
  const broken = { ...foreign, records: foreign.records.slice(1) };
  assert.equal(reasonOf(await bench.verifier.appraise("node1", broken)), "log-broken");
  assert.equal(reasonOf(await bench.verifier.appraise("node1", foreign)), "nonce-mismatch");
  assert.equal(reasonOf(await bench.verifier.appraise("node1", { ...foreign, nonce: "" })), "nonce-mismatch");
});

test("an old quote under a new nonce is refused, and the log that it goes with is not stored", async (t) => {
  const { bench, host } = await enrolled(t);
  const old = encodeQuote(await host.quote(fromHex("07".repeat(32))));
  const evidence = await bench.evidence(host);
  assert.equal(reasonOf(await bench.verifier.appraise("node1", { ...evidence, ...old })), "nonce-mismatch");
  assert.equal(bench.verifier.records("node1", 0).length, 3);
});

test("refused evidence leaves nothing trusted, its reason in the report, until good evidence comes", async (t) => {
  const { bench, host } = await enrolled(t);
  const evidence = await bench.evidence(host, gapEvent("x"));
  const outcome = await bench.verifier.appraise("node1", { ...evidence, records: evidence.records.slice(0, 1) });
  assert.equal(reasonOf(outcome), "pcr-mismatch");
  const report = await bench.verifier.reportHost("node1");
  assert.deepEqual([report.evidence, report.reason, report.records], ["refused", "pcr-mismatch", 3]);
  assert.deepEqual(
    report.containers.map(({ status, reasons }) => [status, reasons.map(({ reason }) => reason)]),
    [["unknown", ["pcr-mismatch"]]],
  );
  bench.restart();
  assert.deepEqual(await bench.statuses(), ["refused", "unknown"]);
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
});

test("a baseline that is gone, or was never there, makes unknown; findings stay", async (t) => {
  const { bench, host } = await enrolled(t);
  const app = containerOf("app");
  const unnamed = { ...containerOf("unnamed"), image: null };
  await bench.attest(host, startEvent(app), startEvent(unnamed), violationEvent(unnamed));
  assert.deepEqual(await bench.statuses(), ["good", "trusted", "unknown", "untrusted"]);
  bench.lookup = { found: false, reason: "ledger-unverified", text: "the chain does not answer" };
  const { containers } = await bench.verifier.reportHost("node1");
  assert.deepEqual(
    containers.map(({ reasons }) => reasons.map(({ reason }) => reason)),
    [["ledger-unverified"], ["no-baseline"], ["no-baseline"]],
  );
});

test("the report is of the form that it is published in, and says who, what, when and what was done", async (t) => {
  const { bench, host } = await enrolled(t);
  await bench.attest(host, codeEvent(web, "/tmp/evil"), violationEvent(web), actionEvent(web));
  const report = await bench.verifier.reportHost("node1");
  assert.deepEqual(hostReportSchema.parse(JSON.parse(JSON.stringify(report))), report);
  assert.deepEqual(
    [report.host, report.evidence, report.reason, report.acceptedAt, report.records],
    ["node1", "good", null, "2026-01-02T03:04:05.000Z", 5],
  );
  const [container] = report.containers;
  assert.deepEqual([container!.container, container!.imageName, container!.status], [web, "web:latest", "untrusted"]);
  assert.deepEqual(
    container!.findings.map(({ reason, object, pages }) => [reason, object.path, pages.length]),
    [
      ["code-modified", "/usr/bin/server", 1],
      ["unknown-executable", "/tmp/evil", 0],
    ],
  );
  assert.deepEqual(container!.actions, [actionEvent(web)]);
  await assert.rejects(bench.verifier.reportHost("nobody"), { code: "host-unknown" });
});

test("an agent that waits is told when an attestation is wanted, and who wanted it gets the outcome", async (t) => {
  const { bench, host } = await enrolled(t);
  const { signal } = new AbortController();
  const told = bench.verifier.waitForWanted("node1", 600_000, signal);
  const outcome = bench.verifier.attestNow("node1", 600_000);
  assert.equal(await told, true);
  assert.equal(await bench.verifier.waitForWanted("node1", 600_000, signal), true, "until the nonce is asked for");
  assert.deepEqual(await bench.attest(host), { accepted: true, records: 4 });
  assert.deepEqual(await outcome, { accepted: true, records: 4 });
  assert.equal(await bench.verifier.waitForWanted("node1", 0, signal), false);

  const refused = bench.verifier.attestNow("node1", 600_000);
  const evidence = await bench.evidence(host, sweepEvent());
  await bench.verifier.appraise("node1", { ...evidence, records: [] });
  assert.equal(reasonOf((await refused)!), "pcr-mismatch");
});

test("nobody waits for ever: neither an agent that went away nor who asks for a silent host", async (t) => {
  const { bench } = await enrolled(t);
  const gone = new AbortController();
  const told = bench.verifier.waitForWanted("node1", 600_000, gone.signal);
  gone.abort();
  assert.equal(await told, false);
  assert.equal(await bench.verifier.attestNow("node1", 0), null);
  await assert.rejects(bench.verifier.attestNow("nobody", 600_000), { code: "host-unknown" });
  await assert.rejects(bench.verifier.waitForWanted("nobody", 600_000, gone.signal), { code: "host-unknown" });
});

test("an agent that had gone already when it began to wait is not waited for", async (t) => {
  const { bench } = await enrolled(t);
  assert.equal(await bench.verifier.waitForWanted("node1", 600_000, AbortSignal.abort()), false);
});

test("a sweeper that stood still makes a host's containers stale until evidence comes that tells of none", async (t) => {
  const { bench, host } = await enrolled(t);
  const start = (intervalMs: number): LogEvent => ({
    type: "agent-start",
    time: TIME,
    version: "1",
    pid: 1,
    intervalMs,
  });
  const after = async (longestPauseMs: number, ...events: LogEvent[]) => {
    // One record that was in evidence which did not arrive, and the one that answers.
    const outcome = await bench.attest(host, ...events, sweepEvent({ nonce: "77", longestPauseMs }));
    assert.equal(reasonOf(outcome), "accepted");
    return bench.statuses();
  };
  assert.deepEqual(await after(30_000), ["good", "trusted"]);
  assert.deepEqual(await after(30_001), ["stale", "stale"]);
  const { containers } = await bench.verifier.reportHost("node1");
  assert.deepEqual(containers[0]!.reasons, [
    { reason: "coverage-stale", text: "no sweep of the host ended for 30.0 s, and 30.0 s are allowed" },
  ]);
  assert.deepEqual(await after(0), ["good", "trusted"]);
  assert.deepEqual(await after(40_000, start(3999)), ["stale", "stale"]);
  assert.deepEqual(await after(40_000, start(4000)), ["good", "trusted"]);
});
