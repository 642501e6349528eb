import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { vector, vectorsFolder, withoutVectors } from "../../../test/vectors.ts";
import { concatBytes } from "../../core/bytes.ts";
import { TPM_ALG, TPM_ECC } from "../algorithms.ts";
import { nvDefine, nvReadPublic, nvWrite } from "../commands/nv.ts";
import { TPMA_NV } from "../constants.ts";
import { findEndorsementKey, withEk } from "../endorsement-key.ts";
import { refusesTruncation, survivesMutation, testFolder, testTpm } from "../fixtures.ts";
import { ekTemplate } from "../templates.ts";
import { WireWriter } from "../wire.ts";
import { certificateInNv, parseCertificate } from "./certificate.ts";
import { certificateDer, der, extension, oid } from "./certificate-writer.ts";
import { DerReader, TAG } from "./der.ts";
import { checkEkCertificate } from "./ek-certificate.ts";
import { authorityKeyId, basicConstraints, extendedKeyUsages, mayBeUsedFor, tpmNames } from "./extensions.ts";
import { readRoots } from "./roots.ts";
import { authority, certificateOf, subjectOf, tpmName, usage } from "./testing.ts";

const run = promisify(execFile);
const NOW = Date.parse("2026-06-01T00:00:00Z");
const maker = subjectOf("maker");
const root = certificateOf({ subject: maker, issuer: maker, extensions: [authority()] });
const PURPOSE = extension("2.5.29.37", der(TAG.sequence, oid("2.23.133.8.1")));

/** TPMT_PUBLIC of an endorsement key with this certificate's P-256 point. */
function ekOf(subject: ReturnType<typeof subjectOf>): Uint8Array {
  const { x, y } = subject.keys.publicKey.export({ format: "jwk" });
  const head = ekTemplate("ecc-p256").slice(0, -68);
  const point = new WireWriter().sized(Buffer.from(x!, "base64url")).sized(Buffer.from(y!, "base64url"));
  assert.deepEqual(head.slice(-4), new WireWriter().u16(TPM_ECC.P256).u16(TPM_ALG.NULL).done());
  return concatBytes(head, point.done());
}

test("each condition on the certificate itself is enough to refuse", () => {
  const tpm = subjectOf("tpm");
  const check = (extensions: Uint8Array[], ek = ekOf(tpm)) =>
    checkEkCertificate(certificateDer({ subject: tpm, issuer: maker, extensions }), ek, [root], NOW);
  const names = check([tpmName(), usage(0x08), PURPOSE]);
  assert.deepEqual(names, { manufacturer: "id:2.23.133.2.1", model: "id:2.23.133.2.2", version: "id:2.23.133.2.3" });
  assert.ok(check([tpmName()]), "purposes need not be named");
  const refused = (message: RegExp, ...parameters: Parameters<typeof check>) =>
    assert.throws(() => check(...parameters), { code: "ek-untrusted", message });
  refused(/of another key/, [tpmName()], ekOf(subjectOf("other")));
  refused(/certification authority/, [tpmName(), authority()]);
  refused(/key usage/, [tpmName(), usage(0x20)]);
  refused(/extended key usage/, [tpmName(), extension("2.5.29.37", der(TAG.sequence, oid("1.3.6.1.5.5.7.3.1")))]);
  refused(/alternative name/, []);
  for (const left of [0, 1, 2]) {
    const types = ["2.23.133.2.1", "2.23.133.2.2", "2.23.133.2.3"].filter((_, index) => index !== left);
    refused(/alternative name/, [tpmName(types)]);
  }
  assert.throws(
    () =>
      checkEkCertificate(certificateDer({ subject: tpm, issuer: maker, extensions: [tpmName()] }), ekOf(tpm), [], NOW),
    { code: "ek-untrusted", message: /no certificate of its issuer/ },
  );
});

/** The folder that a user fills with the certificates of swtpm's maker. */
async function rootsOf(t: TestContext, ca: string): Promise<string> {
  const folder = await testFolder(t);
  for (const name of ["issuercert.pem", "swtpm-localca-rootca-cert.pem"])
    await copyFile(join(ca, name), join(folder, name));
  return folder;
}

test("a TPM from swtpm's maker: its certificate in NV memory, and the path to the maker's root; openssl agrees", async (t) => {
  const ca = await testFolder(t);
  const tpm = await testTpm(t, ["--create-ek-cert"], ca);
  const roots = await rootsOf(t, ca);
  const { kind, certificate } = await findEndorsementKey(tpm);
  assert.equal(kind, "rsa-2048");
  const ek = await withEk(tpm, kind, async (key) => key);
  const known = await readRoots(roots);
  assert.equal(known.length, 2);
  const now = Date.now() + 60_000;
  assert.match(checkEkCertificate(certificate!, ek.publicArea, known, now).manufacturer, /^id:/);
  const file = join(roots, ".ek.der");
  await writeFile(file, certificate!);
  await run("openssl", [
    ...["verify", "-ignore_critical", "-CAfile", join(roots, "swtpm-localca-rootca-cert.pem")],
    ...["-untrusted", join(roots, "issuercert.pem"), file],
  ]);
  const other = await testTpm(t);
  const foreign = await withEk(other, kind, async (key) => key);
  assert.throws(() => checkEkCertificate(certificate!, foreign.publicArea, known, now), { message: /another key/ });
  // The same names, other keys.
  const elsewhere = await testFolder(t);
  await testTpm(t, ["--create-ek-cert"], elsewhere);
  const strangers = await readRoots(await rootsOf(t, elsewhere));
  assert.throws(() => checkEkCertificate(certificate!, ek.publicArea, strangers, now), { code: "ek-untrusted" });
});

test("a TPM without a certificate, and one whose index is filled up behind it", async (t) => {
  const tpm = await testTpm(t);
  assert.deepEqual(await findEndorsementKey(tpm), { kind: "ecc-p256", certificate: null });
  const bytes = certificateDer({ subject: subjectOf("tpm"), issuer: maker, extensions: [tpmName()] });
  const attributes = TPMA_NV.authRead | TPMA_NV.authWrite | TPMA_NV.ownerRead;
  const index = 0x01c0000a;
  await nvDefine(tpm, {
    index,
    nameAlg: "sha256",
    attributes,
    authPolicy: new Uint8Array(0),
    size: bytes.length + 200,
  });
  // Defined and never written, it is no certificate yet.
  assert.equal((await findEndorsementKey(tpm)).certificate, null);
  const filled = concatBytes(bytes, new Uint8Array(200).fill(0xff));
  await nvWrite(tpm, (await nvReadPublic(tpm, index))!, filled);
  assert.deepEqual(await findEndorsementKey(tpm), { kind: "ecc-p256", certificate: bytes });
});

test("a real certificate: TCG's header before it, the algorithm of OAEP in it", {
  skip: withoutVectors(),
}, async (t) => {
  const bytes = certificateInNv(vector("HIRS-nuc-1-ek_cert_untouched.cer"));
  const certificate = parseCertificate(bytes);
  assert.equal(certificate.keyAlgorithm, "1.2.840.113549.1.1.7");
  const modulus = new DerReader(certificate.keyBits).inside(TAG.sequence).element(TAG.integer).content.slice(1);
  const ek = concatBytes(ekTemplate("rsa-2048").slice(0, -256), modulus);
  const folder = await testFolder(t);
  for (const name of ["keylime-STM_RSA_02I.pem", "keylime-STM_RSA_RT.pem", "keylime-GS_TPM_RT.pem"])
    await copyFile(join(vectorsFolder()!, name), join(folder, name));
  const roots = await readRoots(folder);
  const then = Date.parse("2023-06-01T00:00:00Z");
  const names = { manufacturer: "id:53544D20", model: "ST33ZP24PVSP", version: "id:0D0C" };
  assert.deepEqual(checkEkCertificate(bytes, ek, roots, then), names);
  const expired = { code: "ek-untrusted", message: /expired on 2024-02-23/ };
  assert.throws(() => checkEkCertificate(bytes, ek, roots, NOW), expired);
  for (let left = 0; left < roots.length; left++)
    assert.throws(() => checkEkCertificate(bytes, ek, roots.toSpliced(left, 1), then), { code: "ek-untrusted" });
  // Every bit of what is signed counts.
  for (let offset = 4; offset < bytes.length; offset += 7) {
    const altered = bytes.with(offset, bytes[offset]! ^ 1);
    assert.throws(
      () => checkEkCertificate(altered, ek, roots, then),
      (error: { code?: string }) => ["ek-untrusted", "tpm-malformed"].includes(error.code ?? ""),
    );
  }
});

test("cut and altered certificates are malformed, nothing else", () => {
  const extensions = [tpmName(), usage(0x08), PURPOSE, authority(3)];
  const bytes = certificateDer({ subject: subjectOf("tpm"), issuer: maker, extensions });
  const readAll = (der: Uint8Array): void => {
    const certificate = parseCertificate(der);
    basicConstraints(certificate);
    mayBeUsedFor(certificate, 5);
    extendedKeyUsages(certificate);
    authorityKeyId(certificate);
    tpmNames(certificate);
  };
  refusesTruncation(bytes, readAll);
  survivesMutation(bytes, readAll);
  survivesMutation(bytes, certificateInNv);
  const two = { subject: maker, issuer: maker, innerAlgorithm: "1.2.840.10045.4.3.3" };
  assert.throws(() => certificateOf(two), { code: "tpm-malformed", message: /two signature algorithms/ });
  assert.throws(() => certificateOf({ subject: maker, issuer: maker, extensions: [tpmName(), tpmName()] }), {
    message: /an extension twice/,
  });
});

test("a folder of roots names the file that is none", async (t) => {
  const folder = await testFolder(t);
  assert.deepEqual(await readRoots(folder), []);
  await writeFile(join(folder, "a.pem"), "nothing");
  await assert.rejects(readRoots(folder), { code: "roots-unusable", message: /a\.pem is not a certificate/ });
  await assert.rejects(readRoots(join(folder, "none")), { code: "roots-unusable", message: /ENOENT/ });
});
