// What root may try after a TPM was reset, so that its PCR is zero, cleared, or put back to an older state: what was proved
// stays, and what is accepted all the same takes back only what no quote has shown.
// How an honest log goes on after a reboot is not tried here.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { appraise, NOTHING_PROVED, type Proved } from "../src/attest/appraise.ts";
import { gapEvent, sweepEvent, TIME, violationEvent } from "../src/attest/sample-events.ts";
import { assertAccepted, assertRefused, encodeQuote, TestHost } from "../src/attest/testing.ts";
import { fromHex, toHex } from "../src/core/bytes.ts";
import { formatRecord, parseRecord } from "../src/log/record.ts";
import { replay } from "../src/log/replay.ts";
import { tctiOf } from "../src/tpm/address.ts";
import { createAk } from "../src/tpm/attestation-key.ts";
import { nvDefine } from "../src/tpm/commands/nv.ts";
import { pcrExtend } from "../src/tpm/commands/pcr-extend.ts";
import { pcrReset } from "../src/tpm/commands/pcr-reset.ts";
import { quote } from "../src/tpm/commands/quote.ts";
import { extendPublic } from "../src/tpm/extend-index.ts";
import { NvRegister } from "../src/tpm/nv-register.ts";
import { web } from "../src/verifier/testing.ts";
import { contentOf, lineOf } from "./evidence/attester.ts";
import { Site, type SiteHost } from "./evidence/site.ts";

const BOOT_ID = "00000000-0000-4000-8000-00000000000b";
const REFUSED = /^(host-rebooted|log-rollback|log-broken|pcr-mismatch)$/;

const digestOf = (line: string): string => /"digest":"([0-9a-f]{64})"/.exec(line)![1]!;
const numbered = (from: number, lines: readonly string[]) =>
  lines.map((line, index) => line.replace(/^\{"recnum":\d+/, `{"recnum":${from + index}`));

/** Extends lines from a PCR of zero, quotes them with a nonce of the verifier's, and sends those that are to be sent. */
async function sendAfter(
  site: Site,
  member: SiteHost,
  options: { readonly extended: (nonce: string) => string[]; readonly from: number; readonly skipped?: number },
  refused: RegExp | string,
  what: string,
): Promise<void> {
  const { host } = member;
  await host.powerOff();
  await host.powerOn({ log: false });
  const { nonce } = await site.nonce(member);
  const lines = options.extended(nonce);
  for (const line of lines) await host.extend(digestOf(line));
  const records = lines.slice(options.skipped ?? 0);
  const quoted = encodeQuote(await host.quote(fromHex(nonce)));
  await site.refuses(member, { nonce, from: options.from, records, ...quoted }, refused, what);
}

test("after a reset no log is accepted that leaves out, rewrites or does not name what was proved", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  await site.prove(member, violationEvent(web), gapEvent("the attack"));
  const proved = site.bench.verifier.records(member.name, 0);
  const first = parseRecord(proved[0]!, 0).events[0]!;
  assert.ok(first.type === "boot");
  const end = (count: number) => ({
    ...{ bootId: first.bootId, recnum: count - 1, digest: digestOf(proved[count - 1]!) },
    pcr: toHex(replay(proved.slice(0, count).map(digestOf))),
  });
  const sweep = (recnum: number, nonce: string) => lineOf(recnum, contentOf(sweepEvent({ nonce })));
  const boot = (previous: unknown) => lineOf(0, contentOf({ type: "boot", time: TIME, bootId: BOOT_ID, previous }));
  const whole = end(proved.length);
  for (const [what, previous] of [
    ["names no boot before it", null],
    ["names a boot that nobody knows", { ...whole, bootId: BOOT_ID }],
    ["names an end before what was proved", end(proved.length - 2)],
    ["names the first record as the end", end(1)],
    ["names another last record", { ...whole, digest: "11".repeat(32) }],
    ["names another value", { ...whole, pcr: "11".repeat(32) }],
    ["names more records than it sends", { ...whole, recnum: proved.length }],
  ] as const)
    for (const from of [proved.length, 0]) {
      const extended = (nonce: string) => [boot(previous), sweep(1, nonce)];
      await sendAfter(site, member, { extended, from }, REFUSED, `a new log that ${what}, from ${from}`);
    }

  const onward = (nonce: string) => [...proved, sweep(proved.length, nonce)];
  await sendAfter(
    ...([site, member, { extended: onward, from: proved.length, skipped: proved.length }, REFUSED] as const),
    "the proved log extended once more, and on as if nothing had happened",
  );
  await sendAfter(site, member, { extended: onward, from: 0 }, REFUSED, "the same, sent from its beginning");
  const without = proved.filter((line) => !line.includes("violation"));
  assert.equal(without.length, proved.length - 1);
  const shorter = (nonce: string) => numbered(0, [...without, sweep(0, nonce)]);
  await sendAfter(site, member, { extended: shorter, from: 0 }, REFUSED, "a log without the violation");
  const rewritten = proved.map((line, at) =>
    line.includes("violation") ? lineOf(at, contentOf(gapEvent("x"))) : line,
  );
  const other = (nonce: string) => [...rewritten, sweep(proved.length, nonce)];
  await sendAfter(
    ...([site, member, { extended: other, from: proved.length, skipped: proved.length }, REFUSED] as const),
    "another log of the same length",
  );
  assert.deepEqual(site.bench.verifier.records(member.name, 0), proved);
  assert.equal(await site.standing(member), "untrusted", "what was proved of the container stays");
});

test("a quote from before the reset does not show the register after it", async (t) => {
  const site = await Site.start(t);
  const member = await site.enroll(t, "node1");
  const { host } = member;
  const { nonce, from } = await site.nonce(member);
  const kept = await host.answer(nonce, from);
  await host.append(violationEvent(web));
  await host.powerOff();
  await host.powerOn({ log: false });
  // Kept back over the reset: what it proves was so, and nothing of what came after it.
  assert.equal(await site.send(member, kept), "accepted");
  await site.refuses(member, kept, "nonce-mismatch");
  const later = await site.nonce(member);
  await site.refuses(member, { ...kept, nonce: later.nonce, from: later.from, records: [] }, "nonce-mismatch");
});

test("a TPM whose older state was put back is refused", async (t) => {
  const site = await Site.start(t);
  const host = await TestHost.start(t);
  await host.powerOff();
  const copy = join(host.folder, "copy");
  await cp(host.tpmState, copy, { recursive: true });
  for (let boots = 0; boots < 3; boots++) {
    await host.powerOn({ log: false });
    await host.powerOff();
  }
  await host.powerOn({ log: false });
  await host.reboot();
  const member = await site.enroll(t, "node1", host);
  const proved = site.bench.verifier.records(member.name, 0);
  await host.powerOff();
  await rm(host.tpmState, { recursive: true });
  await cp(copy, host.tpmState, { recursive: true });
  const extended = (nonce: string) => [...proved, lineOf(proved.length, contentOf(sweepEvent({ nonce })))];
  const options = { extended, from: proved.length, skipped: proved.length };
  await sendAfter(site, member, options, "tpm-rolled-back", "the proved log on an older TPM");
});

test("a register that anybody may reset lets root take back what no quote has shown, and nothing that one has", async (t) => {
  const { tpm, akPublic } = await TestHost.start(t);
  const pcr = 16;
  const { handle } = await createAk(tpm);
  const gap = (recnum: number, text: string) => lineOf(recnum, contentOf(gapEvent(text)), { pcr });
  const sweepFor = (recnum: number, nonce: string) => lineOf(recnum, contentOf(sweepEvent({ nonce })), { pcr });
  const extend = async (...lines: readonly string[]) => {
    for (const line of lines) await pcrExtend(tpm, "sha256", pcr, fromHex(digestOf(line)));
  };
  const judge = async (nonce: string, from: number, records: string[], proved = NOTHING_PROVED) => {
    const quoted = encodeQuote(await quote(tpm, { keyHandle: handle, nonce: fromHex(nonce), pcrs: [pcr] }));
    return appraise({ nonce, from, records, ...quoted }, { akPublic, nonce, pcr }, proved);
  };
  const [first, second] = ["5a".repeat(32), "5b".repeat(32)];
  const log = [gap(0, "proved"), sweepFor(1, first)];
  await extend(...log);
  const { proved } = assertAccepted(await judge(first, 0, log));
  await extend(gap(2, "a violation that no quote has shown"));

  await pcrReset(tpm, pcr);
  const other = [gap(0, "something else"), sweepFor(1, first), sweepFor(2, second)];
  await extend(...other);
  assertRefused(await judge(second, 2, other.slice(2), proved), "pcr-mismatch");
  await pcrReset(tpm, pcr);
  await extend(...log, sweepFor(2, second));
  assertAccepted(await judge(second, 2, [sweepFor(2, second)], proved));
  await assert.rejects(pcrReset(tpm, 13), { code: "tpm-error" }, "this is why 13 is the default");
});

const [FIRST, SECOND] = ["5a".repeat(32), "5b".repeat(32)];
const tool = (host: TestHost, name: string, ...args: readonly string[]) =>
  promisify(execFile)(name, ["-T", tctiOf(host.tpm.address), ...args]);

/** TPM2_Clear by the lockout hierarchy, whose password is empty; then the counters are brought to where they were proved. */
async function clearAndCatchUp(host: TestHost, proved: Proved): Promise<void> {
  const tpm = proved.tpm!;
  assert.ok(tpm.resetCount > 0 && tpm.restartCount === 0);
  await tool(host, "tpm2_clear", "-c", "l");
  for (let resets = 0; resets < tpm.resetCount; resets++) {
    await host.powerOff();
    await host.powerOn({ log: false });
  }
  await tool(host, "tpm2_setclock", String(tpm.clock + 1000n));
}

test("a TPM that is cleared and reset as often again takes back what no quote has shown, and nothing that one has", async (t) => {
  const host = await TestHost.start(t);
  await host.reboot();
  const log = await host.answer(FIRST, 0, gapEvent("proved"));
  const judge = async (records: string[]) => {
    const quoted = encodeQuote(await host.quote(fromHex(SECOND)));
    const expected = { akPublic, nonce: SECOND, pcr: 13 };
    return appraise({ nonce: SECOND, from: proved.length, records, ...quoted }, expected, proved);
  };
  const { akPublic } = host;
  const { proved } = assertAccepted(appraise(log, { akPublic, nonce: FIRST, pcr: 13 }, NOTHING_PROVED));
  await host.append(violationEvent(web));

  await clearAndCatchUp(host, proved);
  const sweep = lineOf(proved.length, contentOf(sweepEvent({ nonce: SECOND })));
  const anew = lineOf(0, contentOf({ type: "boot", time: TIME, bootId: BOOT_ID, previous: null }));
  await host.extend(digestOf(anew));
  assertRefused(await judge([anew]), "log-rollback");
  // A log without what was proved does not lead to the register.
  await host.extend(digestOf(sweep));
  assertRefused(await judge([sweep]), "pcr-mismatch");

  await clearAndCatchUp(host, proved);
  for (const line of [...log.records, sweep]) await host.extend(digestOf(line));
  const result = assertAccepted(await judge([sweep]));
  // The violation is gone, and nothing is counted that would tell of it.
  assert.deepEqual([result.told, result.unloggedResets, result.resumes], [[], 0, 0]);

  await tool(host, "tpm2_clearcontrol", "-C", "l", "s");
  await host.powerOff();
  await host.powerOn({ log: false });
  await assert.rejects(tool(host, "tpm2_clear", "-c", "l"), /disabled|0x120/i);
});

test("an NV index is not begun once more by clearing the TPM", async (t) => {
  const index = 0x01800080;
  const host = await TestHost.start(t, undefined, index);
  await host.reboot();
  const log = await host.answer(FIRST, 0, gapEvent("proved"));
  const first = parseRecord(log.records[0]!, 0);
  const [boot] = first.events;
  assert.ok(boot?.type === "boot" && boot.nv !== undefined);
  const expected = { akPublic: host.akPublic, pcr: index, first };
  const { proved } = assertAccepted(appraise(log, { ...expected, nonce: FIRST }, NOTHING_PROVED));
  await host.append(violationEvent(web));

  await clearAndCatchUp(host, proved);
  const count = BigInt(boot.nv.count);
  const digests = log.records.map(digestOf).map(fromHex);
  const register = new NvRegister(host.tpm, index);
  assert.ok((await register.begin()) > count, "the TPM remembers its highest counter");
  const sweep = formatRecord(proved.length, index, [sweepEvent({ nonce: SECOND })]).line;
  for (const digest of [...digests, fromHex(digestOf(sweep))]) await register.extend(digest);
  const quoted = encodeQuote(await register.certify((await createAk(host.tpm)).handle, fromHex(SECOND)));
  const evidence = { nonce: SECOND, from: proved.length, records: [sweep], ...quoted };
  const result = appraise(evidence, { ...expected, nonce: SECOND }, proved);
  assertRefused(result, "pcr-mismatch", /deleted and defined anew/);

  await tool(host, "tpm2_nvundefine", "-C", "o", `0x${index.toString(16)}`);
  await nvDefine(host.tpm, extendPublic(index, count));
  register.goOn(count);
  await assert.rejects(register.extend(digests[0]!), { message: /TPM_RC_POLICY/ });
});
