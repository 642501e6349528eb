import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import { type Bundle, parseBundle } from "../attest/bundle.ts";
import { parseBundlePolicy } from "../attest/bundle-policy.ts";
import type { Anchors } from "../attest/bundle-trust.ts";
import type { Ear } from "../attest/ear.ts";
import type { Evidence } from "../attest/evidence.ts";
import { judgePlatform, platformPolicySchema } from "../attest/judge-platform.ts";
import { jwkOf, keyOfJwk, signJwt, verifyJwt } from "../attest/jwt.ts";
import { referenceValues } from "../attest/reference-values.ts";
import { codeEvent, containerOf, digestOf, startEvent, stopEvent, sweepEvent } from "../attest/sample-events.ts";
import { PCR, TestHost } from "../attest/testing.ts";
import { FIRMWARE_LOG, MANIFEST, RELEASES, TestPlatform } from "../attest/testing-platform.ts";
import { pinOf } from "../attest/verifier-address.ts";
import { type BundleReport, verifyBundle } from "../attest/verify-bundle.ts";
import { formatEntry, formatHeader, parseBaseline } from "../baseline/format.ts";
import { toHex } from "../core/bytes.ts";
import { computeName } from "../tpm/name.ts";
import type { ApprovedBaseline } from "./bundle-proofs.ts";
import { exportBundle } from "./export-bundle.ts";
import { Platforms } from "./platforms.ts";
import type { ResultsKey } from "./results-key.ts";
import { Bench, listed, STALE_MS, TestClock, TPM, web } from "./testing.ts";
import { Verifier } from "./verifier.ts";

const STRICTEST = '{"starts":[],"listeners":[],"maxPauseMs":null,"platform":null}';

const lines = [
  formatHeader({
    identity: web.image!,
    name: "web",
    architecture: "amd64",
    ports: [],
    entrypoint: [],
    jit: [],
    entries: 1,
  }),
  formatEntry({ path: listed, kind: "executable", size: 4096n, sha256: digestOf(listed), segments: [] }),
];
const baseline = parseBaseline(lines);
const ROOT = toHex(baseline.root);
/** What shows that it is approved is in another test, with a chain: checked-ledger.test.ts. */
const BASELINE: ApprovedBaseline = { identity: web.image!, root: ROOT, lines, approval: null };

const generateP256 = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const keys = generateP256();
const KEY: ResultsKey = { privateKey: keys.privateKey, jwk: jwkOf(keys.publicKey), pin: pinOf(keys.publicKey) };
const NONE: Anchors = {
  ...{ keys: [], baselines: [], verifiers: [], sealed: null, roots: null, undated: false },
  ...{ blocks: [], registries: [], checkpoints: null },
};

/** A host that has given evidence, and its bundle; `anchors` are what makes it trusted. */
async function exported(t: TestContext) {
  const bench = await Bench.open(t);
  bench.lookup = { found: true, reference: referenceValues(baseline) };
  const host = await TestHost.start(t);
  bench.verifier.enroll("node1", host.akPublic, TPM);
  const attest = (...events: Parameters<Bench["attest"]>[1][]) => bench.attest(host, ...events);
  assert.equal((await attest(startEvent(web), codeEvent(web, listed))).accepted, true);
  const take = (policy = STRICTEST) =>
    exportBundle("node1", {
      ...{ store: bench.store, verifier: bench.verifier, clock: bench.clock, roots: [], pcr: PCR, policy, key: KEY },
      bundleBaseline: async (identity) => (identity === web.image ? BASELINE : null),
      bundleCheckpoint: async () => null,
    });
  const anchors: Anchors = {
    ...{ ...NONE, undated: true },
    keys: [toHex(computeName(host.akPublic))],
    baselines: [ROOT],
  };
  return { bench, host, attest, take, anchors };
}

const earOf = (bundle: Bundle) => verifyJwt(bundle.results.ear, keyOfJwk(bundle.results.key)) as Ear;
const read = (text: string): Bundle => parseBundle(new Uint8Array(Buffer.from(text)));
const outcomes = ({ checks }: BundleReport): string[] => checks.map(({ check, outcome }) => `${check} ${outcome}`);
const nobody = ({ trust }: BundleReport): string[] =>
  trust.filter(({ by }) => by === "nobody").map(({ trust: what }) => what);

test("a bundle is the last accepted evidence, and is trusted by who knows key and baselines", async (t) => {
  const { bench, attest, take, anchors } = await exported(t);
  const first = read(await take());
  assert.equal((await attest()).accepted, true);
  const second = read(await take());
  assert.equal(first.log.records.length, 3);
  assert.equal(second.log.records.length, 4);
  assert.notEqual(first.evidence.nonce, second.evidence.nonce);
  assert.equal(second.evidence.from, 3);
  for (const bundle of [first, second]) {
    const report = verifyBundle(bundle, anchors);
    assert.deepEqual(outcomes(report), [
      `baseline ${web.image!.slice(7, 19)} ok`,
      "quote ok",
      "log ok",
      "sweep ok",
      "results ok",
    ]);
    assert.deepEqual(
      [report.verdict, ...report.containers.map(({ container, status }) => `${container.name} ${status}`)],
      ["trusted", "web trusted"],
    );
  }
  bench.restart();
  const modules = {
    ...{ store: bench.store, verifier: bench.verifier, clock: bench.clock, roots: [], pcr: PCR, key: KEY },
    bundleCheckpoint: async () => null,
  };
  const again = await exportBundle("node1", { ...modules, policy: STRICTEST, bundleBaseline: async () => BASELINE });
  // Signatures differ each time.
  assert.deepEqual({ ...read(again), results: null }, { ...second, results: null });
});

test("without anchors of one's own a bundle is not trusted, and the report says what is missing", async (t) => {
  const { take, anchors } = await exported(t);
  const bundle = read(await take());
  const alone = verifyBundle(bundle, NONE);
  assert.deepEqual([alone.verdict, nobody(alone)], ["unknown", ["key", "baselines", "time"]]);
  const cases: [Partial<Anchors>, string][] = [
    [{ keys: [`000b${"00".repeat(32)}`] }, "key"],
    [{ baselines: ["00".repeat(32)] }, "baselines"],
    [{ undated: false }, "time"],
  ];
  for (const [change, missing] of cases) {
    const report = verifyBundle(bundle, { ...anchors, ...change });
    assert.deepEqual([report.verdict, nobody(report)], ["unknown", [missing]]);
  }
  const lenient = STRICTEST.replace('"starts":[]', '"starts":[{"containers":["*"],"allow":["privileged"]}]');
  const report = verifyBundle(read(await take(lenient)), anchors);
  assert.deepEqual([report.verdict, nobody(report)], ["unknown", ["policy"]]);
});

test("what the verifier finds a bundle shows, too", async (t) => {
  const { attest, take, anchors } = await exported(t);
  const [other, gone] = [containerOf("other"), containerOf("gone")];
  await attest(startEvent(other), startEvent(gone), stopEvent(gone));
  const unknown = verifyBundle(read(await take()), anchors);
  assert.deepEqual(
    [unknown.verdict, ...unknown.containers.map(({ status, reasons }) => `${status} ${reasons[0]?.reason}`)],
    ["unknown", "trusted undefined", "unknown no-baseline"],
  );
  await attest(codeEvent(web, "/tmp/dropped"));
  const bad = verifyBundle(read(await take()), anchors);
  assert.deepEqual([bad.verdict, bad.containers[0]?.findings[0]?.reason], ["untrusted", "unknown-executable"]);
  await attest(sweepEvent({ longestPauseMs: 90_000 }));
  const stood = verifyBundle(read(await take()), anchors);
  assert.deepEqual(
    stood.containers.map(({ status }) => status),
    ["untrusted", "stale"],
  );
});

test("whatever is altered in a bundle is refused", async (t) => {
  const { bench, attest, take, anchors } = await exported(t);
  const old = read(await take());
  await attest();
  const good = read(await take());
  const stranger = await TestHost.start(t);
  const flip = (base64: string, at: number): string => {
    const bytes = Buffer.from(base64, "base64");
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    return bytes.toString("base64");
  };
  const { evidence, log } = good;
  const [image] = good.baselines;
  const altered: [string, Partial<Bundle>][] = [
    ["quote", { evidence: { ...evidence, attest: flip(evidence.attest, -1) } }],
    ["quote", { evidence: { ...evidence, signature: flip(evidence.signature, -1) } }],
    ["quote", { evidence: { ...evidence, nonce: old.evidence.nonce } }],
    ["quote", { evidence: { ...evidence, pcr: 12 } }],
    ["quote", { attestationKey: Buffer.from(stranger.akPublic).toString("base64") }],
    ["log", { evidence: old.evidence }],
    ["log", { log: { start: null, records: log.records.slice(0, -1) } }],
    ["log", { log: { start: null, records: log.records.toSpliced(1, 1) } }],
    ["log", { log: { start: null, records: log.records.with(1, log.records[1]!.replace("server", "Server")) } }],
    ["log", { log: { start: null, records: [...log.records, old.log.records[0]!] } }],
    ["baseline", { baselines: [{ ...image!, root: "00".repeat(32) }] }],
    ["baseline", { baselines: [{ ...image!, lines: lines.with(1, lines[1]!.replace("server", "serves")) }] }],
    ["baseline", { baselines: [{ ...image!, lines: lines.slice(0, 1) }] }],
    ["baseline", { baselines: [{ ...image!, identity: containerOf("x").image! }] }],
    ["baseline", { baselines: [image!, image!] }],
    ["results", { baselines: [] }],
    ["ledger", { ledger: { blocks: [{ header: "AAAA", above: [] }], nodes: [] } }],
    ["ledger", { ledger: { blocks: [], nodes: ["AAAA"] } }],
    ["results", { host: "node2" }],
    ["results", { policy: STRICTEST.replace("null", "60000") }],
    ["results", { evidence: { ...evidence, acceptedAt: "2026-01-02T03:04:06.000Z" } }],
    ["results", { results: old.results }],
    ["results", { results: { ...good.results, key: jwkOf(generateP256().publicKey) } }],
    ["results", { results: { ...good.results, key: { ...good.results.key, x: good.results.key.y } } }],
    ["results", { results: { ...good.results, ear: good.results.ear.slice(0, -4) } }],
    ["results", { results: { ...good.results, ear: signJwt({ ...earOf(good), eat_profile: "x" }, keys.privateKey) } }],
  ];
  for (const [step, change] of altered) {
    const report = verifyBundle(read(JSON.stringify({ ...good, ...change })), anchors);
    const failed = report.checks.filter(({ outcome }) => outcome === "failed");
    assert.deepEqual([report.verdict, failed[0]?.check.split(" ")[0]], ["untrusted", step], JSON.stringify(failed));
  }

  // An evidence whose log is the older one is good by itself: it proves that older moment.
  assert.equal(verifyBundle(old, anchors).verdict, "trusted");
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
});

test("other bytes than a bundle's are one error", async (t) => {
  const text = (await exported(t)).take();
  const good = await text;
  const cases: Record<string, string | Uint8Array> = {
    empty: "",
    json: "[]",
    cut: good.slice(0, -1),
    spaces: good.replace(":", ": "),
    twice: good.replace('{"format"', '{"host":"other","format"'),
    format: good.replace("bundle/v1", "bundle/v2"),
    more: good.replace('{"format"', '{"more":1,"format"'),
    registry: good.replace('"registry":null', '"registry":{}'),
    checkpoint: good.replace('"checkpoint":null', '"checkpoint":{}'),
    nodes: good.replace('"nodes":[]', `"nodes":["${"A".repeat(1400)}"]`),
    start: good.replace('"start":null', '"start":{}'),
    surrogate: good.replace('"records":["', '"records":["\\ud800'),
    "not UTF-8": new Uint8Array([...Buffer.from(good.slice(0, -1)), 0xff, 0x7d]),
    deep: "[".repeat(200_000) + "]".repeat(200_000),
    "too many parts": `{"format":[${"[],".repeat(3_000_000)}[]]}`,
    policy: good.replace('\\"starts\\"', '\\"stops\\"'),
    "policy with spaces": good.replace('\\"starts\\":', '\\"starts\\": '),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    const given = new Uint8Array(Buffer.from(bytes));
    assert.throws(() => verifyBundle(parseBundle(given), NONE), { code: "bundle-malformed" }, name);
  }
  for (let length = 0; length < good.length; length += 97)
    assert.throws(() => read(good.slice(0, length)), { code: "bundle-malformed" });
});

test("what leads to the registers below the agent goes along, from the machine's start", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const platform = new TestPlatform(host);
  await platform.boot();
  await platform.measure("/opt/pims/main.ts", "main");
  const { releases: _, ...policy } = platformPolicySchema.parse({ require: ["agent"] });
  const text = JSON.stringify({
    ...{ starts: [], listeners: [], maxPauseMs: null },
    platform: { boot: policy.boot, require: policy.require, manifests: [MANIFEST] },
  });
  parseBundlePolicy(text);
  const { store } = bench;
  const platforms = new Platforms(platformPolicySchema.parse({ require: ["agent"] }), RELEASES, store);
  const lookUp = async () => ({ found: true, reference: referenceValues(baseline) }) as const;
  const clock = new TestClock();
  const verifier = new Verifier({ pcr: PCR, staleAfterMs: STALE_MS }, { store, clock, platforms, lookUp });
  verifier.enroll("node1", host.akPublic, TPM);
  const attest = async (later?: () => Promise<void>) => {
    const { nonce, from, platform: wanted } = verifier.nonce("node1");
    const outcome = await verifier.appraise("node1", await platform.answer(nonce, from, wanted!, later));
    assert.equal(outcome.accepted, true);
  };
  const modules = {
    store,
    verifier,
    clock,
    roots: [],
    pcr: PCR,
    key: KEY,
    policy: text,
    bundleBaseline: async () => null,
    bundleCheckpoint: async () => null,
  };
  const anchors: Anchors = { ...NONE, keys: [toHex(computeName(host.akPublic))], undated: true };
  // The list grows between quote and reading: what stands behind the quoted entry is not taken twice.
  await attest(() => platform.measure("/usr/sbin/runc", "runc"));
  await attest();
  await attest();
  const bundle = read(await exportBundle("node1", modules));
  assert.equal(bundle.evidence.platform?.firmwareLog, Buffer.from(FIRMWARE_LOG).toString("base64"));
  assert.equal(bundle.evidence.platform?.ima, Buffer.from(platform.list()).toString("base64"));
  const report = verifyBundle(bundle, anchors);
  assert.deepEqual(
    report.links?.map(({ link, state }) => `${link} ${state}`),
    ["boot proved", "files proved", "agent proved", "runtime proved"],
  );
  assert.deepEqual([report.verdict, nobody(report)], ["unknown", ["policy"]]);
  const known = verifier.platform("node1")!;
  assert.deepEqual(
    judgePlatform(known.state, platformPolicySchema.parse({}), { hasReleases: true }).links,
    report.links,
  );

  for (const change of [{ ima: null }, { firmwareLog: null }, { own: "00".repeat(32) }, null]) {
    const given = change === null ? null : { ...bundle.evidence.platform!, ...change };
    const one = verifyBundle({ ...bundle, evidence: { ...bundle.evidence, platform: given } }, anchors);
    // Without the firmware's log the link is missing; a required one would condemn.
    if (change !== null && "firmwareLog" in change) assert.equal(one.links?.[0]?.state, "missing");
    else assert.equal(one.verdict, "untrusted");
  }
  await platform.measure("/usr/sbin/runc", "another");
  await attest();
  assert.equal(verifyBundle(read(await exportBundle("node1", modules)), anchors).verdict, "untrusted");
});

test("a verifier's word stands for what the caller does not know, if it is that verifier's and of this bundle", async (t) => {
  const { bench, host, attest, take } = await exported(t);
  const bundle = read(await take());
  const known: Anchors = { ...NONE, verifiers: [KEY.pin] };
  const report = verifyBundle(bundle, known);
  assert.deepEqual(
    [report.verdict, ...report.trust.map(({ trust, by }) => `${trust} ${by}`)],
    ["trusted", "key verifier", "baselines verifier", "policy you", "time verifier"],
  );
  assert.equal(report.results?.status, "affirming");
  // Whoever names keys or roots takes nobody's word for others.
  const named = verifyBundle(bundle, { ...known, keys: [`000b${"00".repeat(32)}`], baselines: ["00".repeat(32)] });
  assert.deepEqual([named.verdict, nobody(named)], ["unknown", ["key", "baselines"]]);
  const other = generateP256();
  const resigned = { key: jwkOf(other.publicKey), ear: signJwt(earOf(bundle), other.privateKey) };
  const foreign = verifyBundle({ ...bundle, results: resigned }, known);
  assert.deepEqual([foreign.verdict, nobody(foreign)], ["unknown", ["key", "baselines", "time"]]);

  // It says better of a container than what the evidence shows: then it is no witness.
  await attest(codeEvent(web, "/tmp/dropped"));
  const bad = read(await take());
  const claims = earOf(bad);
  const good = Object.fromEntries(
    Object.entries(claims.submods).map(([name, submod]) => [name, { ...submod, ear_status: "affirming" as const }]),
  );
  const lie = signJwt({ ...claims, ear_status: "affirming", submods: good }, keys.privateKey);
  const lied = verifyBundle({ ...bad, results: { ...bad.results, ear: lie } }, known);
  assert.match(lied.checks.at(-1)?.text ?? "", /better for web than what is found/);
  assert.deepEqual(nobody(lied), ["key", "baselines", "time"]);

  // Worse: what the verifier knows from elsewhere counts.
  bench.verifier.refuseTpm("node1", "host-revoked", "sold");
  const revoked = verifyBundle(read(await take()), known);
  assert.deepEqual([revoked.verdict, revoked.results?.status], ["untrusted", "contraindicated"]);
  await host.powerOff();
});

test("evidence that was refused since leaves the last accepted in the bundle, and the verifier's word against it", async (t) => {
  const { bench, host, take, anchors } = await exported(t);
  const before = read(await take());
  const refused: Evidence = { ...(await bench.evidence(host)), signature: before.evidence.signature };
  assert.equal((await bench.verifier.appraise("node1", refused)).accepted, false);
  const bundle = read(await take());
  assert.deepEqual(bundle.evidence, before.evidence);
  const report = verifyBundle(bundle, anchors);
  assert.deepEqual([report.verdict, report.results?.status], ["untrusted", "contraindicated"]);
  bench.clock.pass(2 * STALE_MS);
});

test("after a reboot a bundle is of the new boot alone", async (t) => {
  const { host, attest, take, anchors } = await exported(t);
  await attest(codeEvent(web, "/tmp/dropped"));
  assert.equal(verifyBundle(read(await take()), anchors).verdict, "untrusted");
  await host.reboot();
  assert.equal((await attest(startEvent(web), codeEvent(web, listed))).accepted, true);
  const bundle = read(await take());
  assert.deepEqual([bundle.log.records.length, bundle.evidence.from], [3, 0]);
  const report = verifyBundle(bundle, anchors);
  assert.deepEqual(
    report.checks.filter(({ outcome }) => outcome !== "ok"),
    [],
  );
});

test("no byte of a bundle can be altered without being noticed", async (t) => {
  const { take, anchors } = await exported(t);
  const bytes = new Uint8Array(Buffer.from(await take()));
  const known: Anchors = { ...anchors, verifiers: [KEY.pin] };
  const verdictOf = (given: Uint8Array): string => {
    try {
      return verifyBundle(parseBundle(given), known).verdict;
    } catch (error) {
      assert.equal((error as { code?: string }).code, "bundle-malformed");
      return "malformed";
    }
  };
  assert.equal(verdictOf(bytes), "trusted");
  // Each byte in one of a few ways: another digit, another letter, a bit.
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    const other =
      at % 3 === 0 ? byte ^ (1 << (at % 8)) : byte === 0x30 ? 0x31 : byte === 0x41 ? 0x42 : 0x30 + (at % 2) * 0x11;
    if (other === byte) continue;
    const altered = bytes.slice();
    altered[at] = other;
    assert.notEqual(verdictOf(altered), "trusted", `byte ${at} (${bytes.slice(at - 20, at + 20)})`);
  }
});
