// Appraisal over power cycles of a real TPM: what is a reboot, what a suspension, and what an attempt to take records back.
import assert from "node:assert/strict";
import { appendFile, cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import { earlierLogPath } from "../log/earlier-logs.ts";
import { formatRecord, parseRecord } from "../log/record.ts";
import { replay } from "../log/replay.ts";
import { type Appraisal, appraise, NOTHING_PROVED, type Proved } from "./appraise.ts";
import type { Evidence } from "./evidence.ts";
import { gapEvent, sweepEvent, TIME } from "./sample-events.ts";
import { assertAccepted, assertRefused, bootIdOf, encodeQuote, PCR, TestHost } from "./testing.ts";

const NONCE = "5a".repeat(32);
const OTHER_NONCE = "a5".repeat(32);

/** A host that has proved three records, and has a fourth that no quote has shown. */
async function provedHost(t: TestContext): Promise<{ host: TestHost; proved: Proved }> {
  const host = await TestHost.start(t);
  const first = appraise(await host.answer(NONCE, 0, gapEvent("proved")), expectedOf(host, NONCE), NOTHING_PROVED);
  await host.append(gapEvent("told"));
  return { host, proved: assertAccepted(first).proved };
}

function expectedOf(host: TestHost, nonce = OTHER_NONCE) {
  return { akPublic: host.akPublic, nonce, pcr: PCR };
}

function evidenceOf(host: TestHost, proved: Proved): Promise<Evidence> {
  return host.answerTo({ nonce: OTHER_NONCE, from: proved.length, boot: proved.bootId });
}

async function judge(host: TestHost, proved: Proved): Promise<Appraisal> {
  return appraise(await evidenceOf(host, proved), expectedOf(host), proved);
}

for (const shutdown of ["clear", "none", "state"] as const)
  test(`a reboot after a shutdown of kind '${shutdown}' is accepted, with what was told of the boot before`, async (t) => {
    const { host, proved } = await provedHost(t);
    await host.reboot(shutdown);
    const result = assertAccepted(await judge(host, proved));
    assert.deepEqual(
      result.told.map(({ bootId, from, records }) => [bootId, from, records.map(({ events }) => events[0])]),
      [[bootIdOf(0), 3, [gapEvent("told")]]],
    );
    assert.deepEqual(
      result.records.map(({ events }) => events[0]?.type),
      ["boot", "sweep"],
    );
    assert.deepEqual([result.proved.bootId, result.proved.length], [bootIdOf(1), 2]);
    assert.equal(result.proved.value, toHex(host.log.value));
    assert.deepEqual([result.unloggedResets, result.resumes], [0, 0]);
    const later = await host.answerTo({ nonce: NONCE, from: 2, boot: bootIdOf(1) }, gapEvent("goes on"));
    const next = assertAccepted(appraise(later, expectedOf(host, NONCE), result.proved));
    assert.deepEqual([next.told, next.proved.length], [[], 4]);
  });

test("boots whose verifier was away lie in between; a boot without a log is counted", async (t) => {
  const { host, proved } = await provedHost(t);
  await host.reboot();
  await host.append(gapEvent("second boot"));
  await host.reboot("clear");
  await host.reboot("state");
  await host.powerOff();
  await host.powerOn({ log: false });
  await host.reboot();
  const result = assertAccepted(await judge(host, proved));
  assert.deepEqual(
    result.told.map(({ bootId, from, records }) => [bootId, from, records.length]),
    [
      [bootIdOf(0), 3, 1],
      [bootIdOf(1), 0, 2],
      [bootIdOf(2), 0, 1],
      [bootIdOf(3), 0, 1],
    ],
  );
  assert.equal(result.proved.bootId, bootIdOf(4));
  // Of five power cycles one was no reset of the TPM, and one had no log.
  assert.equal(result.proved.tpm!.resetCount - proved.tpm!.resetCount, 4);
  assert.equal(result.unloggedResets, 0);
  await host.powerOff();
  await host.powerOn({ log: false });
  await host.reboot();
  const evidence = await host.answerTo({ nonce: NONCE, from: result.proved.length, boot: result.proved.bootId });
  assert.equal(assertAccepted(appraise(evidence, expectedOf(host, NONCE), result.proved)).unloggedResets, 1);
});

test("power is lost between write and extend, or in the middle of a line", async (t) => {
  const { host, proved } = await provedHost(t);
  const path = host.log.path;
  await host.powerOff();
  const { line } = formatRecord(4, PCR, [gapEvent("written, not extended")]);
  await appendFile(path, `${line}\n${formatRecord(5, PCR, [gapEvent("torn")]).line.slice(0, 70)}`);
  await host.reboot();
  const { told } = assertAccepted(await judge(host, proved));
  assert.deepEqual(told[0]?.lines.at(-1), line);
});

test("log-rollback: an old copy of the log is put back before the reboot", async (t) => {
  const { host, proved } = await provedHost(t);
  const path = host.log.path;
  const [first] = (await readFile(path, "utf8")).split("\n");
  await host.powerOff();
  await writeFile(path, `${first}\n`);
  await host.reboot();
  assertRefused(await judge(host, proved), "log-rollback", /ends after 1 records, but 3 were already proved/);
});

test("log-rollback: the old log is gone, or no log of this boot is", async (t) => {
  const { host, proved } = await provedHost(t);
  await host.reboot();
  await rm(earlierLogPath(host.logFolder, bootIdOf(0)));
  assertRefused(await judge(host, proved), "log-rollback", /does not lead to the end/);
  await host.powerOff();
  await rm(host.logFolder, { recursive: true });
  await host.reboot();
  assertRefused(await judge(host, proved), "log-rollback", /follows on none/);
});

test("log-rollback: the new log names an earlier record", async (t) => {
  const { host, proved } = await provedHost(t);
  const { records } = await host.collect(NONCE, 0);
  const digests = records.map((line, index) => parseRecord(line, index).digest);
  await host.powerOff();
  await host.powerOn({ log: false });
  const named = (count: number) => {
    const pcr = toHex(replay(digests.slice(0, count)));
    return { bootId: bootIdOf(0), recnum: count - 1, digest: digests[count - 1]!, pcr };
  };
  const events = [
    { type: "boot" as const, time: TIME, bootId: bootIdOf(1), previous: named(2) },
    sweepEvent({ nonce: OTHER_NONCE }),
  ];
  const forged = events.map((event, recnum) => formatRecord(recnum, PCR, [event]));
  for (const { digest } of forged) await host.extend(digest);
  const quoted = encodeQuote(await host.quote(fromHex(OTHER_NONCE)));
  const lines = forged.map(({ line }) => line);
  const judged = (from: number, rest: string[]) =>
    appraise({ nonce: OTHER_NONCE, from, records: [...rest, ...lines], ...quoted }, expectedOf(host), proved);
  assertRefused(judged(3, []), "log-rollback", /after 2 records, but 3 were already proved/);
  assertRefused(judged(3, records.slice(3)), "log-rollback", /after 2 records, but 3 were already proved/);
  assertRefused(judged(2, []), "log-rollback", /ends after 2 records, but 3 were already proved/);
});

test("log-rollback: the rest of the old log is altered or left out, with digests that fit", async (t) => {
  const { host, proved } = await provedHost(t);
  await host.reboot();
  const evidence = await evidenceOf(host, proved);
  const altered = formatRecord(3, PCR, [gapEvent("another")]).line;
  const refused = (records: string[]) =>
    assertRefused(appraise({ ...evidence, records }, expectedOf(host), proved), "log-rollback", /does not lead/);
  refused([altered, ...evidence.records.slice(1)]);
  refused(evidence.records.slice(1));
  const broken = evidence.records.map((line) => line.replace('"told"', '"tale"'));
  assertRefused(appraise({ ...evidence, records: broken }, expectedOf(host), proved), "log-broken", /record 3/);
  assertAccepted(appraise(evidence, expectedOf(host), proved));
});

test("log-rollback: a boot in between is left out", async (t) => {
  const { host, proved } = await provedHost(t);
  await host.reboot();
  await host.reboot();
  const evidence = await evidenceOf(host, proved);
  const records = evidence.records.toSpliced(1, 1);
  assertRefused(appraise({ ...evidence, records }, expectedOf(host), proved), "log-rollback", /follows on/);
  assertAccepted(appraise(evidence, expectedOf(host), proved));
});

test("pcr-mismatch: the log of the new boot is not what its TPM holds", async (t) => {
  const { host, proved } = await provedHost(t);
  await host.reboot();
  await host.extend("ff".repeat(32));
  assertRefused(await judge(host, proved), "pcr-mismatch");
});

test("log-rollback: the log begins anew, and the TPM was not reset", async (t) => {
  const { host, proved } = await provedHost(t);
  const previous = {
    ...{ bootId: bootIdOf(0), recnum: 3, pcr: toHex(host.log.value) },
    digest: parseRecord((await host.collect(NONCE, 3)).records[0]!, 3).digest,
  };
  const evidence = await host.collect(OTHER_NONCE, 3);
  const boot = formatRecord(0, PCR, [{ type: "boot", time: TIME, bootId: bootIdOf(1), previous }]).line;
  const anew = { ...evidence, records: [...evidence.records, boot] };
  assertRefused(appraise(anew, expectedOf(host), proved), "log-rollback", /neither reset nor restarted/);
});

test("host-rebooted: the TPM is reset under a log that goes on, also when the proved records are extended again", async (t) => {
  const { host, proved } = await provedHost(t);
  const lines = (await host.collect(NONCE, 0)).records.slice(0, proved.length);
  await host.powerOff();
  await host.powerOn({ log: false });
  const goOn = async () => {
    const { line, digest } = formatRecord(proved.length, PCR, [sweepEvent({ nonce: OTHER_NONCE })]);
    await host.extend(digest);
    return { nonce: OTHER_NONCE, from: 3, records: [line], ...encodeQuote(await host.quote(fromHex(OTHER_NONCE))) };
  };
  assertRefused(appraise(await goOn(), expectedOf(host), proved), "host-rebooted");
  await host.powerOff();
  await host.powerOn({ log: false });
  for (const [index, line] of lines.entries()) await host.extend(parseRecord(line, index).digest);
  const again = await goOn();
  assertRefused(appraise(again, expectedOf(host), proved), "host-rebooted");
  assertAccepted(appraise(again, expectedOf(host), { ...proved, tpm: null }));
});

test("a suspension keeps the PCR, so the log goes on, and it is told", async (t) => {
  const { host, proved } = await provedHost(t);
  await host.powerOff("state");
  await host.powerOn({ startup: "state" });
  const result = assertAccepted(await judge(host, proved));
  assert.deepEqual([result.resumes, result.told, result.proved.length], [1, [], 5]);
  assert.equal(result.proved.tpm!.resetCount, proved.tpm!.resetCount);
  assert.equal(result.proved.tpm!.restartCount, proved.tpm!.restartCount + 1);
});

test("host-rebooted: the TPM is restarted with its PCR at zero, and the log goes on", async (t) => {
  const { host, proved } = await provedHost(t);
  await host.powerOff("state");
  await host.powerOn({ log: false });
  const { line, digest } = formatRecord(proved.length, PCR, [sweepEvent({ nonce: OTHER_NONCE })]);
  await host.extend(digest);
  const quoted = encodeQuote(await host.quote(fromHex(OTHER_NONCE)));
  const evidence = { nonce: OTHER_NONCE, from: 3, records: [line], ...quoted };
  assertRefused(appraise(evidence, expectedOf(host), proved), "host-rebooted");
});

test("a restart that looks like a suspension loses what a reboot may lose, and is told as well", async (t) => {
  const { host, proved } = await provedHost(t);
  const lines = (await host.collect(NONCE, 0)).records.slice(0, proved.length);
  await host.powerOff("state");
  await host.powerOn({ log: false });
  for (const [index, line] of lines.entries()) await host.extend(parseRecord(line, index).digest);
  const { line, digest } = formatRecord(proved.length, PCR, [sweepEvent({ nonce: OTHER_NONCE })]);
  await host.extend(digest);
  const quoted = encodeQuote(await host.quote(fromHex(OTHER_NONCE)));
  const evidence = { nonce: OTHER_NONCE, from: 3, records: [line], ...quoted };
  assert.equal(assertAccepted(appraise(evidence, expectedOf(host), proved)).resumes, 1);
});

test("tpm-rolled-back: the TPM's state is restored from a copy, under a log that leads back", async (t) => {
  const { host } = await provedHost(t);
  await host.powerOff();
  const copy = join(host.folder, "copy");
  await cp(host.tpmState, copy, { recursive: true });
  await host.reboot();
  await host.reboot();
  const before = assertAccepted(appraise(await host.answer(NONCE, 0), expectedOf(host, NONCE), NOTHING_PROVED)).proved;
  await host.powerOff();
  await rm(host.tpmState, { recursive: true });
  await cp(copy, host.tpmState, { recursive: true });
  await host.reboot();
  assertRefused(await judge(host, before), "tpm-rolled-back", /reset count/);
});

test("tpm-rolled-back: the clock went back within one reset; over a reset it may", async (t) => {
  const { host, proved } = await provedHost(t);
  const judged = async () => {
    const evidence = await evidenceOf(host, proved);
    const { clock } = assertAccepted(appraise(evidence, expectedOf(host), proved)).proved.tpm!;
    return (ahead: bigint) => {
      const tpm = { ...proved.tpm!, clock: clock + ahead };
      return appraise(evidence, expectedOf(host), { ...proved, tpm });
    };
  };
  await host.reboot("state");
  const restarted = await judged();
  assertAccepted(restarted(0n));
  assertRefused(restarted(1n), "tpm-rolled-back", /clock went back from/);
  await host.reboot();
  assertAccepted((await judged())(1n << 32n));
});
