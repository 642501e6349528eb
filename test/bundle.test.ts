// A bundle from a real verifier, chain and TPM, checked by `pims verify` and by a script that has none of PIMS's code.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdirSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createLocalJWKSet, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import { VerifierClient } from "../src/agent/verifier-client.ts";
import { type Bundle, parseBundle } from "../src/attest/bundle.ts";
import { collectEvidence } from "../src/attest/collect.ts";
import { requestJson } from "../src/attest/http.ts";
import { jwkOf } from "../src/attest/jwt.ts";
import { codeEvent, containerOf, startEvent, sweepEvent, TIME } from "../src/attest/sample-events.ts";
import { TestHost } from "../src/attest/testing.ts";
import { type BundleReport, verifyBundle } from "../src/attest/verify-bundle.ts";
import { fromHex } from "../src/core/bytes.ts";
import { sha256Hex } from "../src/core/digest.ts";
import type { PimsError } from "../src/core/errors.ts";
import { startTestLedger, testActions, testIdentity, testLines } from "../src/ledger/testing.ts";
import type { LogEvent } from "../src/log/event.ts";
import { MeasurementLog } from "../src/log/measurement-log.ts";
import { createAk } from "../src/tpm/attestation-key.ts";
import { computeName } from "../src/tpm/name.ts";
import { NvRegister } from "../src/tpm/nv-register.ts";
import { setUpSwtpm } from "../src/tpm/swtpm-setup.ts";
import { OPERATOR_TOKEN_FILE, verifierConfigSchema } from "../src/verifier/config.ts";
import { runVerifier } from "../src/verifier/run.ts";
import { joinToken } from "../src/verifier/testing.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

const SCRIPT = join(import.meta.dirname, "../docs/verify-bundle.py");
/** The first library of `testLines`. */
const LIBRARY = "/usr/lib/lib000000.so";
const listed = { path: LIBRARY, dev: "0:42", ino: "77", digest: sha256Hex("file 0") };

/** Runs the script on each of these lists of arguments, as if it were started for each. */
const RUN_EACH = `
import contextlib, io, json, runpy, sys
for arguments in json.load(sys.stdin):
    sys.argv = [${JSON.stringify(SCRIPT)}, *arguments]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code)
            status = 1 if isinstance(end.code, str) else end.code
    print(json.dumps([status, said.getvalue()]))
`;

async function script(runs: readonly (readonly string[])[]): Promise<{ status: number; text: string }[]> {
  const child = spawn("python3", ["-c", RUN_EACH], { stdio: ["pipe", "pipe", "inherit"], timeout: 60_000 });
  child.stdin.end(JSON.stringify(runs));
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  assert.deepEqual(await once(child, "close"), [0, null]);
  const lines = stdout.trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as [number, string]).map(([status, text]) => ({ status, text }));
}

const jwksSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).length(1) });
const STATUS = { trusted: 0, unknown: 3, untrusted: 2 };

async function verdictOf(path: string, anchors: readonly string[]): Promise<{ status: number; text: string }> {
  const given = (option: string) => anchors.flatMap((one) => (one.startsWith(option) ? one.slice(option.length) : []));
  const known = {
    keys: given("--ak="),
    baselines: given("--baseline="),
    verifiers: given("--verifier-key="),
    roots: null,
    undated: anchors.includes("--undated"),
  };
  try {
    const report = verifyBundle(parseBundle(new Uint8Array(await readFile(path))), known);
    return { status: STATUS[report.verdict], text: JSON.stringify(report) };
  } catch (error) {
    assert.equal((error as PimsError).code, "bundle-malformed");
    return { status: 1, text: (error as PimsError).message };
  }
}

const NV_INDEX = 0x01800040;

/** A host's log in an NV index instead of a PCR: answers nonces as `TestHost` does. */
async function inNvIndex(t: TestContext, { tpm }: TestHost, folder: string): Promise<TestHost["answer"]> {
  const nv = new NvRegister(tpm, NV_INDEX);
  const ak = await createAk(tpm);
  const register = {
    pcr: NV_INDEX,
    read: () => nv.read(),
    extend: (digest: string) => nv.extend(fromHex(digest)),
    begin: async () => ({ count: String(await nv.begin()) }),
    goOn: ({ count }: { count: string }) => nv.goOn(BigInt(count)),
  };
  const { log } = await MeasurementLog.open(join(folder, "log"), register, "00000000-0000-4000-8000-000000000001");
  t.after(() => log.close());
  return async (nonce, from, ...events) => {
    if (events.length > 0) await log.append(events);
    await log.append([sweepEvent({ nonce })]);
    const quote = (given: Uint8Array) => nv.certify(ak, given);
    return collectEvidence({ segments: log.segmentsFrom(0), from, nonce: fromHex(nonce), quote });
  };
}

/** A verifier with a chain, and a host with a certified TPM and one container whose image has an approved baseline. */
async function site(t: TestContext, pcr: "nv" | "pcr" = "pcr") {
  const folder = temporaryFolder(t);
  const { place, publishers } = await startTestLedger(t);
  const actions = testActions(place);
  const { id } = await actions.propose(publishers[0], testLines("web", 3));
  await actions.approve(publishers[1], id);
  const [state, ca, roots] = ["verifier", "ca", "roots"].map((name) => join(folder, name)) as [string, string, string];
  const host = await TestHost.start(t, (path) => setUpSwtpm(path, ["--create-ek-cert"], ca));
  mkdirSync(roots);
  for (const name of ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]) cpSync(join(ca, name), join(roots, name));
  const config = verifierConfigSchema.parse({
    ...{ state, ledger: place, listen: { port: 0 }, enrollment: { roots } },
    pcr: pcr === "nv" ? `nv:0x0${NV_INDEX.toString(16)}` : 13,
  });
  const answer: TestHost["answer"] =
    pcr === "nv" ? await inNvIndex(t, host, folder) : (...given) => host.answer(...given);
  const verifier = await runVerifier(config);
  t.after(() => verifier.close());
  const operatorToken = join(state, OPERATOR_TOKEN_FILE);
  const client = new VerifierClient(verifier.address, "node1");
  client.useToken(await client.enroll(host, await joinToken(verifier, state, "node1")));
  const attest = async (...events: LogEvent[]) => {
    const { nonce, from } = await client.nonce();
    assert.equal((await client.evidence(await answer(nonce, from, ...events))).accepted, true);
  };
  const web = containerOf("web", { image: testIdentity("web") });
  await attest(startEvent(web), codeEvent(web, LIBRARY, { object: listed, role: "library" }));
  const file = join(folder, "node1.bundle");
  const take = async () => {
    const options = ["--verifier", verifier.address, "--operator-token", operatorToken];
    const done = await pimsMeanwhile(["bundle", "export", "node1", "--out", file, ...options]);
    assert.equal(done.status, 0, done.stderr);
    return JSON.parse(await readFile(file, "utf8")) as Bundle;
  };
  const key = Buffer.from(computeName(host.akPublic)).toString("hex");
  /** Both checkers' exit statuses and what they print, for each of these. Ours as the command calls it. */
  const checkAll = async (bundles: Record<string, Bundle | string | Uint8Array>, anchors: readonly string[]) => {
    const runs = await Promise.all(
      Object.entries(bundles).map(async ([name, bundle], index) => {
        const path = join(folder, `${index}.altered`);
        const plain = typeof bundle === "string" || bundle instanceof Uint8Array;
        await writeFile(path, plain ? bundle : JSON.stringify(bundle));
        return { name, path, ours: await verdictOf(path, anchors) };
      }),
    );
    const theirs = await script(runs.map(({ path }) => [...anchors, path]));
    return runs.map(({ name, ours }, index) => {
      const statuses = [ours.status, theirs[index]!.status];
      return { name, statuses, ours: ours.text, theirs: theirs[index]!.text };
    });
  };
  const check = async (bundle: Bundle, anchors: readonly string[]) => (await checkAll({ bundle }, anchors))[0]!;
  return { host, verifier, roots, file, take, attest, check, checkAll, web, key };
}

test("both checkers trust a bundle by anchors of one's own, and only by them", async (t) => {
  const { file, take, attest, check, web, key } = await site(t);
  const bundle = await take();
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(bundle.baselines[0]?.registry?.approvals, 2);
  assert.equal(bundle.endorsement?.certificates.length, 2, "the key's own certificate and that of its issuer");
  const anchors = [`--ak=${key}`, `--baseline=${bundle.baselines[0]!.root}`, "--undated"];
  const good = await check(bundle, anchors);
  assert.deepEqual(good.statuses, [0, 0], good.ours + good.theirs);
  assert.match(good.theirs, /^log: 3 records from number 0 lead to/m);
  const command = await pimsMeanwhile(["verify", ...anchors, file]);
  assert.equal(command.status, 0, command.stdout + command.stderr);
  assert.match(command.stdout, /^log +ok +3 records from number 0 lead to/m);
  assert.match(command.stdout, /^time +you/m);
  for (const left of anchors) {
    const rest = anchors.filter((anchor) => anchor !== left);
    const less = await check(bundle, rest);
    assert.deepEqual(less.statuses, [3, 3], `without ${left}`);
  }
  const alone = await check(bundle, []);
  assert.deepEqual(alone.statuses, [3, 3]);
  assert.match(alone.theirs, /^missing: time/m);
  const shown = await pimsMeanwhile(["verify", file, "--json"]);
  assert.equal(shown.status, 3);
  assert.deepEqual(
    (JSON.parse(shown.stdout) as BundleReport).trust.map(({ trust, by }) => `${trust} ${by}`),
    ["key nobody", "baselines nobody", "policy you", "time nobody"],
  );

  await attest(codeEvent(web, "/tmp/dropped"), codeEvent(web, "/tmp/\u001b[2J"));
  const bad = await check(await take(), anchors);
  assert.deepEqual(bad.statuses, [2, 2]);
  assert.match(bad.ours, /unknown-executable/);
  assert.ok(!bad.theirs.includes("\u001b"), "names do not write to the terminal");
  assert.match(bad.theirs, /unlisted code \/tmp\/dropped/);
});

test("a bundle holds the whole log, also when the host's own has lost its beginning", async (t) => {
  const { host, take, attest, check, web, key } = await site(t);
  const { recnum } = await host.log.rotate(1, TIME);
  await attest(startEvent(web));
  await host.log.prune(recnum);
  assert.equal(host.log.segmentsFrom(0)[0]!.from, recnum);
  await attest(codeEvent(web, LIBRARY, { object: listed, role: "library" }));
  const bundle = await take();
  const anchors = [`--ak=${key}`, `--baseline=${bundle.baselines[0]!.root}`, "--undated"];
  const checked = await check(bundle, anchors);
  assert.deepEqual(checked.statuses, [0, 0], checked.ours + checked.theirs);
  assert.match(checked.theirs, new RegExp(`^log: ${host.log.length} records from number 0 lead to`, "m"));
  // What the host still has is not enough.
  const rest = await check({ ...bundle, log: { start: null, records: bundle.log.records.slice(recnum) } }, anchors);
  assert.deepEqual(rest.statuses, [2, 2]);
});

test("both checkers refuse a bundle that was altered, whatever the anchors", async (t) => {
  const { file, take, attest, check, checkAll, key } = await site(t);
  const old = await take();
  await attest();
  const good = await take();
  const anchors = [`--ak=${key}`, `--baseline=${good.baselines[0]!.root}`, "--undated"];
  assert.deepEqual((await check(good, anchors)).statuses, [0, 0]);
  const flip = (base64: string, at: number): string => {
    const bytes = Buffer.from(base64, "base64");
    bytes[at]! ^= 1;
    return bytes.toString("base64");
  };
  const { evidence, log } = good;
  const [web] = good.baselines;
  const text = JSON.stringify(good);
  const bad: Record<string, Bundle> = {
    attest: { ...good, evidence: { ...evidence, attest: flip(evidence.attest, 60) } },
    signature: { ...good, evidence: { ...evidence, signature: flip(evidence.signature, 20) } },
    nonce: { ...good, evidence: { ...evidence, nonce: old.evidence.nonce } },
    pcr: { ...good, evidence: { ...evidence, pcr: 12 } },
    "old quote": { ...good, evidence: old.evidence },
    "key's numbers": { ...good, attestationKey: flip(good.attestationKey, 40) },
    "key's attributes": { ...good, attestationKey: flip(good.attestationKey, 5) },
    "record left out": { ...good, log: { start: null, records: log.records.toSpliced(1, 1) } },
    "records cut off": { ...good, log: { start: null, records: log.records.slice(0, -1) } },
    "record after": { ...good, log: { start: null, records: [...log.records, log.records[0]!] } },
    "record's content": {
      ...good,
      log: { start: null, records: log.records.with(1, log.records[1]!.replace("web", "bew")) },
    },
    "baseline's line": {
      ...good,
      baselines: [{ ...web!, lines: web!.lines.with(1, web!.lines[1]!.replace("lib", "bil")) }],
    },
    "baseline's root": { ...good, baselines: [{ ...web!, root: "00".repeat(32) }] },
    "baseline of another image": { ...good, baselines: [{ ...web!, identity: testIdentity("other") }] },
    "baseline twice": { ...good, baselines: [web!, web!] },
    "baseline left out": { ...good, baselines: [] },
    "registry's word": { ...good, baselines: [{ ...web!, registry: { ...web!.registry!, approvals: 3 } }] },
    "another host": { ...good, host: "node2" },
    policy: { ...good, policy: good.policy.replace('"maxPauseMs":null', '"maxPauseMs":60000') },
    "time of acceptance": { ...good, evidence: { ...evidence, acceptedAt: old.evidence.acceptedAt } },
    "endorsement key": { ...good, endorsement: { ...good.endorsement!, publicArea: good.attestationKey } },
    "results of before": { ...good, results: old.results },
    "results' signature": { ...good, results: { ...good.results, ear: `${good.results.ear.slice(0, -4)}AAAA` } },
    "results' key": {
      ...good,
      results: { ...good.results, key: jwkOf(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey) },
    },
    "results' key that is none": {
      ...good,
      results: { ...good.results, key: { ...good.results.key, y: good.results.key.x } },
    },
    "no results": { ...good, results: { ...good.results, ear: "" } },
  };
  for (const { name, statuses, ours, theirs } of await checkAll(bad, anchors))
    assert.deepEqual(statuses, [2, 2], `${name}: ${ours} ${theirs}`);
  const none: Record<string, string | Uint8Array> = {
    cut: text.slice(0, -1),
    "member twice": text.replace('{"format"', '{"host":"x","format"'),
    "member more": text.replace('{"format"', '{"more":1,"format"'),
    spaces: text.replace(",", ", "),
    version: text.replace("bundle/v1", "bundle/v2"),
    surrogate: text.replace('"records":["', '"records":["\\ud800'),
    proof: text.replace('"proof":null', '"proof":[]'),
    bytes: new Uint8Array([0xff, 0xfe]),
    "too many parts": `{"format":[${"[],".repeat(3_000_000)}[]]}`,
  };
  for (const { name, statuses, ours, theirs } of await checkAll(none, anchors)) {
    assert.deepEqual(statuses, [1, 1], name);
    for (const text of [ours, theirs]) assert.match(text, /^[^\n]*no bundle of evidence[^\n]*\n?$/, name);
  }
  const bytes = Buffer.from(text);
  const altered: Record<string, Uint8Array> = {};
  for (let at = 3; at < bytes.length; at += Math.ceil(bytes.length / 80)) {
    altered[`byte ${at}`] = new Uint8Array(bytes);
    altered[`byte ${at}`]![at]! ^= 1 << (at % 8);
  }
  for (const { name, statuses, ours, theirs } of await checkAll(altered, anchors)) {
    assert.ok(!statuses.includes(0), `${name}: ${ours} ${theirs}`);
    assert.deepEqual(statuses[0], statuses[1], `${name}: ${ours} ${theirs}`);
  }
  await writeFile(file, text.slice(1));
  const refused = await pimsMeanwhile(["verify", file]);
  assert.deepEqual([refused.status, refused.stdout], [1, ""]);
  assert.match(refused.stderr, /^pims: this is no bundle of evidence: [^\n]*\n$/);
});

test("the verifier's word, where it is taken, and the maker's certificate", async (t) => {
  const { verifier, roots, file, take, check, key } = await site(t);
  const bundle = await take();
  const word = [`--verifier-key=${verifier.resultsKey}`];
  assert.deepEqual((await check(bundle, word)).statuses, [0, 0]);
  assert.deepEqual((await check(bundle, [`--verifier-key=sha256:${"A".repeat(43)}=`])).statuses, [3, 3]);
  for (const named of [`--ak=000b${"00".repeat(32)}`, `--baseline=${"00".repeat(32)}`])
    assert.deepEqual((await check(bundle, [...word, named])).statuses, [3, 3], named);
  // Who sees that the attestation key is in this TPM is the verifier; whose TPM that is says its maker.
  const certified = await pimsMeanwhile(["verify", ...word, "--roots", roots, file]);
  assert.equal(certified.status, 0, certified.stdout + certified.stderr);
  assert.match(certified.stdout, /^endorsement +ok +its maker certified/m);
  assert.match(certified.stdout, /^key +verifier +the verifier saw that the attestation key is in the TPM with/m);
  const root = join(roots, "swtpm-localca-rootca-cert.pem");
  const strange = join(roots, "..", "strange");
  mkdirSync(strange);
  cpSync(join(roots, "issuercert.pem"), join(strange, "issuercert.pem"));
  assert.equal((await pimsMeanwhile(["verify", ...word, "--roots", strange, file])).status, 2);
  const [good, bad] = await script([
    [...word, "--roots", root, file],
    [...word, "--roots", join(strange, "issuercert.pem"), file],
  ]);
  assert.deepEqual([good!.status, bad!.status], [0, 2], good!.text + bad!.text);

  // Whoever makes a bundle signs what he likes beside a genuine certificate of another TPM.
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const claimed = JSON.parse(Buffer.from(bundle.results.ear.split(".")[1]!, "base64url").toString());
  for (const length of [0, 1, 32]) {
    const publicArea = bundle.endorsement!.publicArea;
    const short = Buffer.from(publicArea, "base64").subarray(0, length).toString("base64");
    const { results: _, ...rest } = { ...bundle, endorsement: { ...bundle.endorsement!, publicArea: short } };
    claimed.submods.host.ear_verifier_claims.pims.bundle = sha256Hex(JSON.stringify(rest));
    const ear = await new SignJWT(claimed).setProtectedHeader({ alg: "ES256", typ: "eat+jwt" }).sign(pair.privateKey);
    const forgedFile = join(strange, "forged.bundle");
    await writeFile(forgedFile, JSON.stringify({ ...rest, results: { key: jwkOf(pair.publicKey), ear } }));
    const [shown] = await script([["--roots", root, forgedFile]]);
    assert.equal(shown!.status, 2, shown!.text);
    assert.match(shown!.text, /^endorsement: FAILED, its certificate is of another key/m);
    assert.equal((await pimsMeanwhile(["verify", "--roots", roots, forgedFile])).status, 2);
  }

  // The same claims in a token of its own, which another library verifies.
  const { status, stdout } = await pimsMeanwhile(
    ["attest", "node1", "--ear", "--timeout", "1", "--operator-token", join(file, "../verifier", OPERATOR_TOKEN_FILE)],
    { PIMS_VERIFIER: verifier.address },
  );
  assert.equal(status, 3, "no agent answers in this test");
  const keys = await requestJson(verifier.address, "/v1/keys", jwksSchema, { method: "GET", timeoutMs: 10_000 });
  const { payload, protectedHeader } = await jwtVerify(stdout.trim(), createLocalJWKSet(keys), { typ: "eat+jwt" });
  assert.equal(protectedHeader.alg, "ES256");
  assert.deepEqual([payload.eat_profile, payload.ear_status], ["tag:ietf.org,2026:rats/ear#04", "affirming"]);
  const submods = payload.submods as Record<string, Record<string, unknown>>;
  assert.deepEqual(
    Object.entries(submods).map(([name, submod]) => [name.split(":")[0], submod.ear_status]),
    [
      ["host", "affirming"],
      ["docker", "affirming"],
    ],
  );
  assert.deepEqual(submods.host!.ear_trustworthiness_vector, { "instance-identity": 2, hardware: 2 });
  assert.ok(JSON.stringify(submods.host).includes(key));
  const [head, , signature] = stdout.trim().split(".");
  const forged = Buffer.from(JSON.stringify({ ...payload, ear_status: "none" })).toString("base64url");
  await assert.rejects(jwtVerify(`${head}.${forged}.${signature}`, createLocalJWKSet(keys)));
});

test("a log in an NV index is shown and checked like one in a PCR", async (t) => {
  const { take, attest, check, checkAll, key } = await site(t, "nv");
  const old = await take();
  await attest();
  const good = await take();
  assert.equal(good.evidence.pcr, NV_INDEX);
  const anchors = [`--ak=${key}`, `--baseline=${good.baselines[0]!.root}`, "--undated"];
  const trusted = await check(good, anchors);
  assert.deepEqual(trusted.statuses, [0, 0], trusted.ours + trusted.theirs);
  const { evidence, log } = good;
  const [boot] = log.records;
  const began = /"count":"(\d+)"/.exec(boot!)!;
  const content = boot!.slice(boot!.indexOf('"content":') + 10, -1).replace(began[0], '"count":"77"');
  const other = boot!
    .replace(/"digest":"[0-9a-f]{64}"/, `"digest":"${sha256Hex(content)}"`)
    .replace(began[0], '"count":"77"');
  const bad: Record<string, Bundle> = {
    "old certification": { ...good, evidence: old.evidence },
    "another index": { ...good, evidence: { ...evidence, pcr: NV_INDEX + 1 } },
    "a PCR": { ...good, evidence: { ...evidence, pcr: 13 } },
    "begun at another count": { ...good, log: { start: null, records: log.records.with(0, other) } },
    "records cut off": { ...good, log: { start: null, records: log.records.slice(0, -1) } },
  };
  for (const { name, statuses, ours, theirs } of await checkAll(bad, anchors))
    assert.deepEqual(statuses, [2, 2], `${name}: ${ours} ${theirs}`);
});
