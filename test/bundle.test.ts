// A bundle from a real verifier, chain and TPM, checked by `pims verify` and by a script that has none of PIMS's code.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdirSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createLocalJWKSet, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import type { Bundle } from "../src/attest/bundle.ts";
import { requestJson } from "../src/attest/http.ts";
import { jwkOf } from "../src/attest/jwt.ts";
import { codeEvent, startEvent, TIME } from "../src/attest/sample-events.ts";
import type { BundleReport } from "../src/attest/verify-bundle.ts";
import { sha256Hex } from "../src/core/digest.ts";
import { testIdentity } from "../src/ledger/testing.ts";
import { OPERATOR_TOKEN_FILE } from "../src/verifier/config.ts";
import { LIBRARY, listed, NV_INDEX, script, site } from "./bundle-site.ts";
import { pimsMeanwhile } from "./pims.ts";

const jwksSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).length(1) });

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
    registry: text.replace('"approvals":2', '"approvals":2.5'),
    "registry without its block": text.replace(/"blockHash":"[^"]*",/, ""),
    "checkpoint of no form": text.replace('"checkpoint":null', '"checkpoint":{}'),
    "node too long": text.replace('"nodes":["', `"nodes":["${"A".repeat(1372)}","`),
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
