import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { concatBytes } from "../core/bytes.ts";
import { imaEntryBytes, imaNg } from "../tpm/event-log/sample-ima.ts";
import { appraise, NOTHING_PROVED, type Proved } from "./appraise.ts";
import type { Evidence } from "./evidence.ts";
import { judgePlatform, platformPolicySchema } from "./judge-platform.ts";
import type { PlatformEvidence } from "./platform-evidence.ts";
import type { PlatformState } from "./platform-state.ts";
import { Releases } from "./release-manifest.ts";
import { assertAccepted, assertRefused, PCR, TestHost } from "./testing.ts";
import { digestOf, FIRMWARE_LOG, MANIFEST, RELEASES, TestPlatform } from "./testing-platform.ts";

const NONCE = "5a".repeat(32);
const EVERYTHING = { firmwareLog: true, imaFrom: 0 };
let host: TestHost;
let platform: TestPlatform;
let good: Evidence & { platform: PlatformEvidence };
const undo: (() => Promise<void>)[] = [];

before(async () => {
  host = await TestHost.start({ after: (end) => undo.push(end) });
  platform = new TestPlatform(host);
  await platform.boot();
  await platform.measure("/opt/pims/main.ts", "main");
  await platform.measure("/usr/sbin/runc", "runc");
  await platform.measure("/usr/bin/other", "other");
  good = await platform.answer(NONCE, 0, EVERYTHING);
});
after(async () => {
  for (const end of undo.reverse()) await end();
});

function judge(
  evidence: Evidence,
  options: { before?: PlatformState | null; releases?: Releases; nonce?: string; proved?: Proved } = {},
) {
  const below = { before: options.before ?? null, releases: options.releases ?? RELEASES };
  const expected = { akPublic: host.akPublic, nonce: options.nonce ?? NONCE, pcr: PCR, platform: below };
  return appraise(evidence, expected, options.proved ?? NOTHING_PROVED);
}

const withPlatform = (fields: Partial<PlatformEvidence>): Evidence => ({
  ...good,
  platform: { ...good.platform, ...fields },
});
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const POLICY = platformPolicySchema.parse({});
const verdictOf = (state: PlatformState | null, policy = POLICY) => judgePlatform(state, policy, { hasReleases: true });
const statesOf = (state: PlatformState | null) => verdictOf(state).links.map(({ link, state: found }) => [link, found]);

test("registers of boot and files lead to one quote with the log's", () => {
  const { platform: state, proved } = assertAccepted(judge(good));
  assert.equal(proved.length, 2);
  assert.deepEqual(statesOf(state), [
    ["boot", "proved"],
    ["files", "proved"],
    ["agent", "proved"],
    ["runtime", "proved"],
  ]);
  assert.deepEqual(verdictOf(state).reasons, []);
  assert.equal(state?.firmware?.secureBoot, "on");
  assert.deepEqual([state?.ima?.count, state?.ima?.agentFiles, state?.ima?.runtimeFiles], [3, 1, 1]);
});

test("pcr-mismatch: only what leads to the registers is missing or another", () => {
  const { platform: _, ...bare } = good;
  assertRefused(judge(bare), "pcr-mismatch", /nothing that leads/);
  assertRefused(judge(withPlatform({ ima: null })), "pcr-mismatch", /no list/);
  const { pcrs, own } = good.platform;
  for (let pcr = 0; pcr < pcrs.length; pcr++)
    assertRefused(judge(withPlatform({ pcrs: pcrs.with(pcr, "ab".repeat(32)) })), "pcr-mismatch");
  assertRefused(judge(withPlatform({ own: own.replace(/^./, own.startsWith("0") ? "1" : "0") })), "pcr-mismatch");
  const list = platform.list();
  const { platform: known } = assertAccepted(judge(good));
  for (let offset = 0; offset < list.length; offset++) {
    const altered = list.slice();
    altered[offset]! ^= 1;
    const appraisal = judge(withPlatform({ ima: { from: 0, entries: base64(altered) } }));
    // The name of a template is in no digest: another name must say the same.
    if (appraisal.accepted) assert.deepEqual(appraisal.platform, known, `byte ${offset}`);
    else assert.match(appraisal.reason, /^(pcr-mismatch|log-broken)$/, `byte ${offset}`);
  }
  const one = imaNg("/opt/pims/main.ts", digestOf("main")).length;
  for (const part of [
    list.subarray(one),
    list.subarray(0, one),
    concatBytes(list.subarray(one), list.subarray(0, one)),
  ])
    assertRefused(judge(withPlatform({ ima: { from: 0, entries: base64(part) } })), "pcr-mismatch");
});

test("quote-invalid: only the quote is of the log's register alone", async () => {
  const single = await host.answer(NONCE, 0);
  assertRefused(judge({ ...single, platform: good.platform }), "quote-invalid", /exactly PCR 0, 1/);
});

test("log-broken: only the list is no list, or goes on elsewhere", () => {
  assertRefused(judge(withPlatform({ ima: { from: 0, entries: "AAAA" } })), "log-broken", /malformed/);
  const foreign = concatBytes(platform.list(), imaNg("/x", digestOf("x"), { pcr: 11 }));
  assertRefused(judge(withPlatform({ ima: { from: 0, entries: base64(foreign) } })), "log-broken", /PCR 11/);
  assertRefused(judge(withPlatform({ ima: { from: 3, entries: "" } })), "log-broken", /entry 3 instead of 0/);
});

test("a later round sends only what is new, and entries after the quote are not counted", async () => {
  const first = assertAccepted(judge(good));
  const state = first.platform!;
  await platform.measure("/opt/pims/main.ts", "evil");
  const nonce = "5b".repeat(32);
  const wanted = { firmwareLog: false, imaFrom: state.ima!.count };
  const next = await platform.answer(nonce, first.proved.length, wanted, async () => {
    await platform.measure("/usr/sbin/runc", "evil");
  });
  // Between the rounds the log of this test got a record of another test.
  const options = { before: state, nonce, proved: first.proved };
  const second = assertAccepted(judge(next, options)).platform!;
  assert.equal(second.ima!.count, 4);
  assert.equal(second.firmware?.steps.length, 2);
  assert.deepEqual(statesOf(second), [
    ["boot", "proved"],
    ["files", "proved"],
    ["agent", "broken"],
    ["runtime", "proved"],
  ]);
  const [reason] = verdictOf(second).reasons;
  assert.equal(reason?.reason, "agent-modified");
  assert.match(reason?.text ?? "", /\/opt\/pims\/main\.ts with sha256/);
  assertRefused(judge(next, { ...options, before: null }), "log-broken", /entry 3 instead of 0/);
  // Judged by other releases, or in another boot, the list must come from its beginning.
  const others = new Releases([MANIFEST, { ...MANIFEST, version: "2" }]);
  assertRefused(judge(next, { ...options, releases: others }), "log-broken");
  const otherBoot = { ...state, boot: { ...state.boot, resetCount: state.boot.resetCount + 1 } };
  assertRefused(judge(next, { ...options, before: otherBoot }), "log-broken");
  const whole = { ...next, platform: { ...next.platform, ima: { from: 0, entries: base64(platform.list()) } } };
  const anew = assertAccepted(judge(whole, { ...options, releases: others })).platform!;
  assert.deepEqual([anew.ima!.count, anew.ima!.deviations.length], [4, 1]);
});

test("a firmware log that does not lead to its registers proves no boot", () => {
  for (const [log, problem] of [
    [FIRMWARE_LOG.with(FIRMWARE_LOG.length - 40, 1), /does not lead to PCR 7|malformed/],
    [FIRMWARE_LOG.subarray(0, FIRMWARE_LOG.length - 1), /malformed/],
  ] as const) {
    const { platform: state } = assertAccepted(judge(withPlatform({ firmwareLog: base64(log) })));
    const { links, reasons } = verdictOf(state);
    assert.equal(links[0]?.state, "broken");
    assert.equal(reasons[0]?.reason, "boot-untrusted");
    assert.match(reasons[0]?.text ?? "", problem);
  }
  const { platform: none } = assertAccepted(judge(withPlatform({ firmwareLog: null })));
  assert.deepEqual(statesOf(none)[0], ["boot", "missing"]);
});

test("a list of the largest size takes seconds at most, and more entries than any has are refused", () => {
  const one = imaNg("/usr/bin/a", digestOf("a"));
  const list = new Uint8Array(Buffer.concat(Array.from({ length: 100_000 }, () => one)));
  const start = performance.now();
  assertRefused(judge(withPlatform({ ima: { from: 0, entries: base64(list) } })), "pcr-mismatch");
  assert.ok(performance.now() - start < 20_000);
  const least = imaEntryBytes("", new Uint8Array(0));
  const many = new Uint8Array(Buffer.concat(Array.from({ length: 262_145 }, () => least)));
  assertRefused(judge(withPlatform({ ima: { from: 0, entries: base64(many) } })), "log-broken", /too many/);
});

test("a kernel that pads digests of SHA-1 is followed by that way, then and later", async (t) => {
  const old = await TestHost.start(t);
  const kernel = new TestPlatform(old, { padded: true });
  await kernel.measure("/opt/pims/main.ts", "main");
  const evidence = await kernel.answer(NONCE, 0, EVERYTHING);
  const expected = { akPublic: old.akPublic, nonce: NONCE, pcr: PCR };
  const first = assertAccepted(
    appraise(evidence, { ...expected, platform: { before: null, releases: RELEASES } }, NOTHING_PROVED),
  );
  assert.equal(first.platform?.ima?.padded, true);
  await kernel.measure("/usr/sbin/runc", "runc");
  const nonce = "5c".repeat(32);
  const next = await kernel.answer(nonce, first.proved.length, { firmwareLog: false, imaFrom: 1 });
  const platformNow = { before: first.platform, releases: RELEASES };
  const second = assertAccepted(appraise(next, { ...expected, nonce, platform: platformNow }, first.proved));
  assert.deepEqual([second.platform?.ima?.count, second.platform?.ima?.runtimeFiles], [2, 1]);
});

test("a file of a release that is measured by another hash is not the release's, whatever else was measured", async (t) => {
  for (const algorithm of ["sha512", "sha1", "ima:sha512", "verity:sha256"]) {
    const one = await TestHost.start(t);
    const kernel = new TestPlatform(one);
    await kernel.measure("/opt/pims/main.ts", "main");
    await kernel.measure("/usr/sbin/runc", "runc");
    await kernel.measure("/usr/sbin/runc", "runc", { algorithm });
    await kernel.measure("/usr/bin/other", "other", { algorithm });
    const evidence = await kernel.answer(NONCE, 0, EVERYTHING);
    const expected = { akPublic: one.akPublic, nonce: NONCE, pcr: PCR };
    const below = { before: null, releases: RELEASES };
    const { platform: state } = assertAccepted(appraise(evidence, { ...expected, platform: below }, NOTHING_PROVED));
    assert.deepEqual(statesOf(state).slice(1), [
      ["files", "proved"],
      ["agent", "proved"],
      ["runtime", "broken"],
    ]);
    const [reason] = verdictOf(state).reasons;
    assert.equal(reason?.reason, "runtime-modified", algorithm);
    assert.ok(reason.text.includes(`/usr/sbin/runc with ${algorithm.replace("ima:", "")} ${digestOf("runc")}`));
  }
});
