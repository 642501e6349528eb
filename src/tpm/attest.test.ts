import assert from "node:assert/strict";
import { test } from "node:test";
import { vector, withoutVectors } from "../../test/vectors.ts";
import { toHex } from "../core/bytes.ts";
import { parseAttest } from "./attest.ts";
import { forgeAttest, refusesTruncation, softwareKey, softwareSignature, survivesMutation } from "./fixtures.ts";
import { pcrDigestOf } from "./pcr-digest.ts";
import { parseSignature } from "./signature.ts";

test("all that a quote says, 64-bit numbers exact", () => {
  const attest = parseAttest(forgeAttest());
  assert.equal(attest.clock, 0xffff_ffff_ffff_fff0n);
  assert.equal(attest.firmwareVersion, 0x0123_4567_89ab_cdefn);
  assert.deepEqual([attest.resetCount, attest.restartCount, attest.safe], [3, 4, true]);
  assert.deepEqual(attest.pcrSelections, [{ algorithm: 11, bank: "sha256", pcrs: [13] }]);
});

test("truncated and altered attestations are malformed, nothing else", () => {
  refusesTruncation(forgeAttest(), parseAttest);
  survivesMutation(forgeAttest(), parseAttest);
});

test("what no TPM generated, and what is no quote, is refused", () => {
  assert.throws(() => parseAttest(forgeAttest({ magic: 0xff544348 })), { code: "tpm-malformed", message: /generated/ });
  assert.throws(() => parseAttest(forgeAttest({ type: 0x8017 })), { code: "tpm-malformed", message: /not a quote/ });
});

test("truncated and altered signatures are malformed, nothing else", () => {
  const signature = softwareSignature(softwareKey(), new Uint8Array(1));
  refusesTruncation(signature, parseSignature);
  survivesMutation(signature, parseSignature);
});

test("a real quote", { skip: withoutVectors() }, () => {
  const bytes = vector("keylime-quote.out");
  const attest = parseAttest(bytes);
  assert.equal(attest.clock, 5994n);
  // On the wire 20 16 05 11 00 16 28 00; tpm2_print shows the bytes in the opposite order.
  assert.equal(attest.firmwareVersion, 0x2016_0511_0016_2800n);
  assert.deepEqual(attest.pcrSelections, [{ algorithm: 11, bank: "sha256", pcrs: [15, 16, 22] }]);
  assert.equal(toHex(attest.extraData), toHex(vector("keylime-rand.out")));
  refusesTruncation(bytes, parseAttest);
  survivesMutation(bytes, parseAttest);
});

test("a real quote's digest over its PCRs", { skip: withoutVectors() }, () => {
  // tpm2-tools' PCR file, little-endian: TPML_PCR_SELECTION (132 bytes), number of lists, then a TPML_DIGEST of 3, each
  // digest a 16-bit size with room for 64 bytes.
  const file = vector("keylime-quotepcr.out");
  const values = [0, 1, 2].map((index) => file.subarray(140 + 2 + index * 66, 140 + 2 + index * 66 + 32));
  assert.equal(toHex(pcrDigestOf(values)), toHex(parseAttest(vector("keylime-quote.out")).pcrDigest));
});

test("a real RSA signature", { skip: withoutVectors() }, () => {
  const bytes = vector("keylime-quotesig.out");
  const signature = parseSignature(bytes);
  assert.deepEqual([signature.algorithm, signature.hash], ["rsassa", "sha256"]);
  refusesTruncation(bytes, parseSignature);
  survivesMutation(bytes, parseSignature);
});
