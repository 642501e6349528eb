import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { test } from "node:test";
import { vector, withoutVectors } from "../../test/vectors.ts";
import { toHex } from "../core/bytes.ts";
import { TPM_ALG } from "./algorithms.ts";
import { TPMA_OBJECT } from "./constants.ts";
import { AK_ATTRIBUTES, refusesTruncation, softwareKey, survivesMutation } from "./fixtures.ts";
import { computeName } from "./name.ts";
import { isRestrictedSigningKey, parsePublic, unwrapPublic } from "./public.ts";
import { publicKeyOf, publicKeyPem } from "./public-key.ts";

test("an ECC public area gives the key it was made from", () => {
  const { publicArea, privateKey } = softwareKey();
  const area = parsePublic(publicArea);
  assert.equal(area.nameAlg, "sha256");
  assert.deepEqual(area.scheme, { algorithm: "ecdsa", hash: "sha256" });
  assert.equal(publicKeyPem(publicArea), createPublicKey(privateKey).export({ type: "spki", format: "pem" }));
});

test("a TPM may leave out leading zeros of a coordinate", () => {
  for (;;) {
    const { publicArea, privateKey } = softwareKey();
    // x starts after 22 bytes: try until its first byte is a zero.
    if (publicArea[22] !== 0) continue;
    const stripped = new Uint8Array([...publicArea.subarray(0, 21), 31, ...publicArea.subarray(23)]);
    assert.equal(publicKeyPem(stripped), createPublicKey(privateKey).export({ type: "spki", format: "pem" }));
    return;
  }
});

test("truncated and altered public areas are malformed, nothing else", () => {
  const { publicArea } = softwareKey();
  refusesTruncation(publicArea, parsePublic);
  survivesMutation(publicArea, (bytes) => publicKeyOf(parsePublic(bytes)));
  survivesMutation(publicArea, computeName);
});

test("a point that is not on the curve is not a key", () => {
  const { publicArea } = softwareKey();
  publicArea[publicArea.length - 1]! ^= 1;
  assert.throws(() => publicKeyPem(publicArea), { code: "tpm-malformed" });
});

test("only a restricted signing key that cannot leave its TPM will do", () => {
  const { fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign } = TPMA_OBJECT;
  assert.ok(isRestrictedSigningKey(softwareKey().publicArea));
  for (const missing of [fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign])
    assert.ok(!isRestrictedSigningKey(softwareKey({ attributes: AK_ATTRIBUTES & ~missing }).publicArea), `${missing}`);
  for (const extra of [TPMA_OBJECT.decrypt, TPMA_OBJECT.encryptedDuplication, TPMA_OBJECT.x509sign])
    assert.ok(!isRestrictedSigningKey(softwareKey({ attributes: AK_ATTRIBUTES | extra }).publicArea), `${extra}`);
  assert.ok(!isRestrictedSigningKey(softwareKey({ scheme: TPM_ALG.NULL }).publicArea));
  assert.ok(!isRestrictedSigningKey(softwareKey({ scheme: TPM_ALG.ECDH }).publicArea));
  assert.ok(!isRestrictedSigningKey(softwareKey({ symmetric: 0x0006 }).publicArea));
  assert.ok(!isRestrictedSigningKey(new Uint8Array(0)));
});

test("a real RSA key's file, and its name", { skip: withoutVectors() }, () => {
  const file = vector("keylime-ak.pub");
  const publicArea = unwrapPublic(file);
  const { scheme, key } = parsePublic(publicArea);
  assert.deepEqual(scheme, { algorithm: "rsassa", hash: "sha256" });
  assert.equal(key.type, "rsa");
  assert.equal(toHex(computeName(publicArea)), toHex(vector("keylime-ak.name")));
  assert.ok(isRestrictedSigningKey(publicArea));
  refusesTruncation(file, (bytes) => parsePublic(unwrapPublic(bytes)));
  survivesMutation(file, (bytes) => publicKeyOf(parsePublic(unwrapPublic(bytes))));
});
