// Who is enrolled, and as whom: real TPMs, with and without a maker's certificate.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { EnrollRequest } from "../attest/enrollment.ts";
import { TestHost, temporaryFolder } from "../attest/testing.ts";
import { toHex } from "../core/bytes.ts";
import { parseCertificate } from "../tpm/certificate/certificate.ts";
import { readRoots } from "../tpm/certificate/roots.ts";
import { createPrimary } from "../tpm/commands/create-primary.ts";
import { TPM_RH_ENDORSEMENT } from "../tpm/constants.ts";
import { computeName } from "../tpm/name.ts";
import { setUpSwtpm } from "../tpm/swtpm-setup.ts";
import { attestationTemplate, storageTemplate } from "../tpm/templates.ts";
import type { Enrollment } from "./enrollment.ts";
import { Bench, invitationOf, JOIN, OPERATOR, reasonOf } from "./testing.ts";

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));

let ca = "";
before(async () => {
  ca = await mkdtemp(join(tmpdir(), "pims-ca-"));
});
after(() => rm(ca, { recursive: true, force: true }));

/** A host whose TPM has a maker's certificate; the maker's roots are there from the first one on. */
const certified = (t: Parameters<typeof TestHost.start>[0]) =>
  TestHost.start(t, (folder) => setUpSwtpm(folder, ["--create-ek-cert"], ca));

async function makersRoots(t: Parameters<typeof TestHost.start>[0]) {
  const folder = join(await temporaryFolder(t), "roots");
  await mkdir(folder);
  for (const name of ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]) await cp(join(ca, name), join(folder, name));
  return readRoots(folder);
}

async function shownBy(host: TestHost, name: string): Promise<EnrollRequest> {
  const ek = await host.showEk();
  const ekCertificate = ek.certificate && base64(ek.certificate);
  return { host: name, akPublic: base64(host.akPublic), ekPublic: base64(ek.publicArea), ekCertificate };
}

/** Both steps, as an honest host takes them. */
async function come(enrollment: Enrollment, host: TestHost, name: string, token = JOIN): Promise<string> {
  const answer = enrollment.challenge(token, await shownBy(host, name));
  const secret = await host.openCredential({
    idObject: bytesOf(answer.idObject),
    encryptedSecret: bytesOf(answer.encryptedSecret),
  });
  return enrollment.activate(token, name, { challenge: answer.challenge, secret: toHex(secret) });
}

test("a maker's certificate is enough; without one only by decision, and marked", async (t) => {
  const bench = await Bench.open(t);
  const [good, plain] = [await certified(t), await TestHost.start(t)];
  // The makers of certificates go by the machine's clock.
  bench.clock.wall = Date.now() + 60_000;
  const roots = await makersRoots(t);
  const strict = bench.enrollment({ roots, uncertified: false });
  const token = await come(strict, good, "node1");
  assert.equal(bench.verifier.isHostToken("node1", token), true);
  const { tpm } = await bench.verifier.reportHost("node1");
  assert.equal(tpm?.certified?.model, "swtpm");
  assert.equal(tpm?.ekName, toHex(computeName((await good.showEk()).publicArea)));
  assert.equal(reasonOf(await bench.attest(good)), "accepted");

  const uncertified = { code: "tpm-uncertified" };
  await assert.rejects(come(strict, plain, "node2"), {
    ...uncertified,
    message: /holds no certificate/,
    hint: /--uncertified/,
  });
  const decided = strict.invite(invitationOf("node2"));
  await come(strict, plain, "node2", decided.token);
  assert.equal((await bench.verifier.reportHost("node2")).tpm?.certified, null);
  // A certificate of nobody whom we know is none.
  const stranger = await certified(t);
  await assert.rejects(
    come(bench.enrollment({ roots: roots.slice(0, 0), uncertified: false }), stranger, "node3"),
    uncertified,
  );
  await come(bench.enrollment({ roots: [], uncertified: true }), stranger, "node3");
  assert.equal((await bench.verifier.reportHost("node3")).tpm?.certified, null);
});

test("another TPM's certificate does not help", async (t) => {
  const bench = await Bench.open(t);
  const [good, plain] = [await certified(t), await TestHost.start(t)];
  // The makers of certificates go by the machine's clock.
  bench.clock.wall = Date.now() + 60_000;
  const strict = bench.enrollment({ roots: await makersRoots(t), uncertified: false });
  const [theirs, mine] = [await shownBy(good, "node1"), await shownBy(plain, "node1")];
  // Its certificate with one's own endorsement key.
  const borrowed = { ...mine, ekCertificate: theirs.ekCertificate };
  assert.throws(() => strict.challenge(JOIN, borrowed), { code: "tpm-uncertified", message: /another key/ });
  // Its certificate and endorsement key with one's own attestation key: the credential opens in neither TPM.
  const { challenge, idObject, encryptedSecret } = strict.challenge(JOIN, { ...theirs, akPublic: mine.akPublic });
  const blob = { idObject: bytesOf(idObject), encryptedSecret: bytesOf(encryptedSecret) };
  for (const host of [good, plain]) await assert.rejects(host.openCredential(blob), { code: "tpm-error" });
  for (const secret of ["", "00".repeat(32)])
    assert.throws(() => strict.activate(JOIN, "node1", { challenge, secret }), { code: "credential-invalid" });
  assert.deepEqual(await bench.verifier.report(), []);
  assert.ok(parseCertificate(bytesOf(theirs.ekCertificate!)));
});

test("each condition on the keys is enough to refuse", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const enrollment = bench.enrollment();
  const good = await shownBy(host, "node1");
  const storage = await createPrimary(host.tpm, TPM_RH_ENDORSEMENT, storageTemplate("ecc-p256"));
  const refused = (change: Partial<EnrollRequest>, code: string) =>
    assert.throws(() => enrollment.challenge(JOIN, { ...good, ...change }), { code }, code);
  refused({ host: "../x" }, "host-invalid");
  refused({ akPublic: base64(storage.publicArea) }, "quote-invalid");
  refused({ akPublic: good.ekPublic }, "quote-invalid");
  // A point that is not on its curve, and a hash that evidence is not made with.
  refused({ akPublic: base64(attestationTemplate("ecc-p256")) }, "tpm-malformed");
  const long = await createPrimary(host.tpm, TPM_RH_ENDORSEMENT, attestationTemplate("ecc-p384"));
  refused({ akPublic: base64(long.publicArea) }, "quote-invalid");
  refused({ ekPublic: base64(storage.publicArea) }, "ek-untrusted");
  refused({ ekPublic: good.akPublic }, "ek-untrusted");
  refused({ ekPublic: "" }, "ek-untrusted");
  assert.ok(enrollment.challenge(JOIN, good));
});

test("a challenge is for one host, one token, one answer and some minutes", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const enrollment = bench.enrollment();
  const answered = async () => {
    const answer = enrollment.challenge(JOIN, await shownBy(host, "node1"));
    const blob = { idObject: bytesOf(answer.idObject), encryptedSecret: bytesOf(answer.encryptedSecret) };
    return { challenge: answer.challenge, secret: toHex(await host.openCredential(blob)) };
  };
  const invalid = { code: "credential-invalid" };
  const first = await answered();
  assert.throws(() => enrollment.activate(JOIN, "node2", first), invalid);
  assert.throws(() => enrollment.activate(JOIN, "node1", first), invalid, "it was taken");
  const { token } = enrollment.invite(invitationOf("node1"));
  assert.throws(() => enrollment.activate(token, "node1", { challenge: "00".repeat(16), secret: "" }), invalid);
  const second = await answered();
  assert.throws(() => enrollment.activate(token, "node1", second), invalid);
  const third = await answered();
  bench.clock.pass(5 * 60_000 + 1);
  assert.throws(() => enrollment.activate(JOIN, "node1", third), invalid);
  const fourth = await answered();
  assert.ok(enrollment.activate(JOIN, "node1", fourth));
  for (let count = 0; count < 300; count++) enrollment.challenge(JOIN, await shownByOnce(host));
});

let shown: EnrollRequest | undefined;
async function shownByOnce(host: TestHost): Promise<EnrollRequest> {
  shown ??= await shownBy(host, "node1");
  return shown;
}

test("an invitation is for one host, one enrollment and an hour", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const strict = bench.enrollment({ uncertified: false });
  const { token } = strict.invite(invitationOf("node1"));
  assert.equal(strict.mayJoin(token), true);
  assert.equal(strict.isOperatorToken(token), false);
  await assert.rejects(come(strict, host, "node2", token), { code: "not-authorized" });
  bench.restart();
  const again = bench.enrollment({ uncertified: false });
  await come(again, host, "node1", token);
  assert.equal(again.mayJoin(token), false);
  await assert.rejects(come(again, host, "node1", token), { code: "not-authorized" });
  const late = again.invite(invitationOf("node3"));
  bench.clock.pass(60 * 60_000 + 1);
  assert.equal(again.mayJoin(late.token), false);
  const replaced = again.invite(invitationOf("node3"));
  again.invite(invitationOf("node3"));
  assert.equal(again.mayJoin(replaced.token), false, "the later decision counts");
  assert.throws(() => again.invite(invitationOf("../x")), { code: "host-invalid" });
});

test("one TPM under two names is host-cloned until an operator decides", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const enrollment = bench.enrollment();
  await come(enrollment, host, "node1");
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  // A copy of the machine, TPM and all.
  await host.powerOff();
  const copy = new TestHost(join(await temporaryFolder(t), "copy"));
  await cp(host.folder, copy.folder, { recursive: true });
  await copy.powerOn({ log: false });
  t.after(() => copy.powerOff());
  await assert.rejects(come(enrollment, copy, "node2"), { code: "host-cloned", message: /that of node1/ });
  const { evidence, reason, text, notice } = await bench.verifier.reportHost("node1");
  assert.deepEqual([evidence, reason, notice?.reason], ["refused", "host-cloned", "host-cloned"]);
  assert.match(text, /also shown by node2/);
  assert.throws(() => bench.verifier.nonce("node1"), { code: "host-cloned" });
  enrollment.invite(invitationOf("node1"));
  assert.equal((await bench.verifier.reportHost("node1")).notice, null);
  assert.ok(bench.verifier.nonce("node1"));
});

test("a token for any host is worth so many enrollments, and no decision on a host that is known", async (t) => {
  const bench = await Bench.open(t);
  const hosts = [await TestHost.start(t), await TestHost.start(t), await TestHost.start(t)] as const;
  const strict = bench.enrollment({ uncertified: false });
  const forAny = { host: null, uncertified: true, anew: false, uses: 2, hours: 1 };
  const { token } = strict.invite(forAny);
  await come(strict, hosts[0], "node1", token);
  // What is refused does not count.
  await assert.rejects(come(strict, hosts[1], "node1", token), { code: "tpm-changed" });
  await assert.rejects(come(strict, hosts[0], "node2", token), { code: "host-cloned" });
  bench.verifier.refuseTpm("node1", "host-revoked", "sold");
  await assert.rejects(come(strict, hosts[0], "node1", token), { code: "host-revoked" });
  // Neither does another invitation take it away, nor a restart.
  strict.invite(invitationOf("node3"));
  strict.invite(forAny);
  bench.restart();
  const again = bench.enrollment({ uncertified: false });
  assert.equal(again.isOperatorToken(OPERATOR) && !again.isOperatorToken(token) && !again.mayJoin(OPERATOR), true);
  // Both were let in by the last use: only one of them comes.
  const answers: [string, { challenge: string; secret: string }][] = [];
  for (const [index, name] of ["node2", "node3"].entries()) {
    const host = hosts[index + 1]!;
    const { challenge, idObject, encryptedSecret } = again.challenge(token, await shownBy(host, name));
    const secret = await host.openCredential({
      idObject: bytesOf(idObject),
      encryptedSecret: bytesOf(encryptedSecret),
    });
    answers.push([name, { challenge, secret: toHex(secret) }]);
  }
  assert.ok(again.activate(token, ...answers[0]!));
  assert.throws(() => again.activate(token, ...answers[1]!), { code: "not-authorized" });
  assert.equal(again.mayJoin(token), false);
  const late = again.invite({ ...forAny, hours: 0.5 });
  bench.clock.pass(30 * 60_000 + 1);
  await assert.rejects(come(again, hosts[2], "node3", late.token), { code: "not-authorized" });
});

test("a revoked host stays out, under its name and any other, until it is invited", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const other = await TestHost.start(t);
  const enrollment = bench.enrollment();
  await come(enrollment, host, "node1");
  const evidence = await bench.evidence(host);
  bench.verifier.refuseTpm("node1", "host-revoked", "it was stolen");
  bench.restart();
  assert.equal(reasonOf(await bench.verifier.appraise("node1", evidence)), "nonce-mismatch");
  assert.throws(() => bench.verifier.nonce("node1"), { code: "host-revoked", message: /stolen/ });
  const { reason, text } = await bench.verifier.reportHost("node1");
  assert.deepEqual([reason, text], ["host-revoked", "it was stolen"]);
  const after = bench.enrollment();
  for (const name of ["node1", "node2"])
    await assert.rejects(come(after, host, name), { code: "host-revoked", message: /node1 was revoked/ });
  // Nothing that others do to its name lets it in again.
  await assert.rejects(come(after, other, "node1"), { code: "host-revoked" });
  bench.verifier.refuseTpm("node1", "tpm-changed", "something less");
  assert.throws(() => bench.verifier.nonce("node1"), { code: "host-revoked" });
  const { token } = after.invite(invitationOf("node1"));
  assert.throws(() => bench.verifier.nonce("node1"), { code: "host-revoked" }, "an invitation alone changes nothing");
  await come(after, host, "node1", token);
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
});

test("revoked between nonce and evidence: the evidence is not taken", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  await come(bench.enrollment(), host, "node1");
  const evidence = await bench.evidence(host);
  bench.verifier.refuseTpm("node1", "host-revoked", "gone");
  assert.equal(reasonOf(await bench.verifier.appraise("node1", evidence)), "host-revoked");
});

test("another TPM under a host's name is tpm-changed, noted, and let in by decision only", async (t) => {
  const bench = await Bench.open(t);
  const [host, other] = [await TestHost.start(t), await TestHost.start(t)];
  const enrollment = bench.enrollment();
  await come(enrollment, host, "node1");
  await assert.rejects(come(enrollment, other, "node1"), {
    code: "tpm-changed",
    message: /another TPM/,
    hint: /--anew/,
  });
  const report = async () => bench.verifier.reportHost("node1");
  assert.deepEqual([(await report()).evidence, (await report()).notice?.reason], ["refused", "tpm-changed"]);
  // The enrolled TPM is still the one that counts, and the note stays for the operator.
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  assert.deepEqual([(await report()).evidence, (await report()).notice?.reason], ["good", "tpm-changed"]);
  const { token } = enrollment.invite(invitationOf("node1", { anew: true }));
  await come(enrollment, other, "node1", token);
  const { records, notice, evidence } = await report();
  assert.deepEqual([records, notice, evidence], [0, null, "none"]);
  assert.equal(reasonOf(await bench.attest(other)), "accepted");
  assert.notEqual(reasonOf(await bench.attest(host)), "accepted");
});

test("the same TPM with another attestation key is told apart from another TPM", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const enrollment = bench.enrollment();
  await come(enrollment, host, "node1");
  const rekeyed = await createPrimary(host.tpm, TPM_RH_ENDORSEMENT, attestationTemplate("rsa-2048"));
  const { tpm } = await bench.verifier.reportHost("node1");
  assert.throws(() => bench.verifier.enroll("node1", rekeyed.publicArea, tpm!), {
    code: "tpm-changed",
    message: /another attestation key/,
  });
  assert.match((await bench.verifier.reportHost("node1")).notice!.text, /its TPM showed another attestation key/);
});
