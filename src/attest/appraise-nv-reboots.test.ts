import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { fromHex } from "../core/bytes.ts";
import { parseRecord } from "../log/record.ts";
import { nvReadPublic, nvUndefine } from "../tpm/commands/nv.ts";
import { NvRegister } from "../tpm/nv-register.ts";
import { type Appraisal, appraise, NOTHING_PROVED, type Proved } from "./appraise.ts";
import type { Evidence } from "./evidence.ts";
import { gapEvent } from "./sample-events.ts";
import { assertAccepted, assertRefused, bootIdOf, TestHost } from "./testing.ts";

const NONCE = "5a".repeat(32);
const INDEX = 0x01800080;

/** A host whose log in an NV index has three proved records, and one more that nobody has seen. */
async function provedHost(t: TestContext): Promise<{ host: TestHost; proved: Proved; first: string }> {
  const host = await TestHost.start(t, undefined, INDEX);
  const evidence = await host.answer(NONCE, 0, gapEvent("proved"));
  const first = evidence.records[0]!;
  const { proved } = assertAccepted(judge(host, evidence, NOTHING_PROVED, first));
  await host.append(gapEvent("not seen"));
  return { host, proved, first };
}

function judge(host: TestHost, evidence: Evidence, before: Proved, first: string): Appraisal {
  const expected = { akPublic: host.akPublic, nonce: NONCE, pcr: INDEX, first: parseRecord(first, 0) };
  return appraise(evidence, expected, before);
}

const answer = (host: TestHost, { length, bootId }: Proved) =>
  host.answerTo({ nonce: NONCE, from: length, boot: bootId });

for (const shutdown of ["clear", "none"] as const)
  test(`over a reboot after a shutdown of kind '${shutdown}' the log goes on in an index that begins anew`, async (t) => {
    const { host, proved, first } = await provedHost(t);
    await host.reboot(shutdown);
    const evidence = await answer(host, proved);
    const result = assertAccepted(judge(host, evidence, proved, first));
    assert.deepEqual([result.told.length, result.proved.bootId, result.proved.length], [1, bootIdOf(1), 2]);
    const begun = evidence.records.find((line) => line.startsWith('{"recnum":0,'))!;
    const later = await answer(host, result.proved);
    assertAccepted(judge(host, later, result.proved, begun));
    // By the first record of the boot before it would be another index.
    assertRefused(judge(host, later, result.proved, first), "pcr-mismatch", /deleted and defined anew/);
  });

test("a suspension keeps the index, so the log goes on", async (t) => {
  const { host, proved, first } = await provedHost(t);
  await host.powerOff("state");
  await host.powerOn({ startup: "state" });
  const result = assertAccepted(judge(host, await answer(host, proved), proved, first));
  assert.deepEqual([result.resumes, result.told.length, result.proved.length], [1, 0, 5]);
});

test("log-rollback: without a reset of the TPM an index that begins anew is no reboot", async (t) => {
  const { host, proved, first } = await provedHost(t);
  // Root deletes the index, and lets the log begin anew as after a reboot, without what nobody has seen.
  const fake = async (suspended: boolean) => {
    await nvUndefine(host.tpm, (await nvReadPublic(host.tpm, INDEX))!);
    if (suspended) {
      await host.powerOff("state");
      await host.powerOn({ log: false, startup: "state" });
    }
    await host.nextBoot();
    return judge(host, await answer(host, proved), proved, first);
  };
  assertRefused(await fake(false), "log-rollback", /neither reset nor restarted/);
  assertRefused(await fake(true), "log-rollback", /in an NV index, but the TPM was not reset/);
});

test("after a restart of the TPM nobody extends the proved records once more", async (t) => {
  const { host, first } = await provedHost(t);
  const [boot] = parseRecord(first, 0).events;
  assert.ok(boot?.type === "boot" && boot.nv !== undefined);
  await host.powerOff("state");
  await host.powerOn({ log: false });
  const register = new NvRegister(host.tpm, INDEX);
  register.goOn(BigInt(boot.nv.count));
  await assert.rejects(register.extend(fromHex(parseRecord(first, 0).digest)), { message: /TPM_RC_POLICY/ });
});
