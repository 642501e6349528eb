import assert from "node:assert/strict";
import { test } from "node:test";
import { vector, withoutVectors } from "../../test/vectors.ts";
import { concatBytes, fromHex, toHex } from "../core/bytes.ts";
import { TPMA_OBJECT } from "./constants.ts";
import type { AttestFields } from "./fixtures.ts";
import { AK_ATTRIBUTES, forgeAttest, softwareKey, softwareSignature } from "./fixtures.ts";
import { writePcrSelection } from "./pcr-selection.ts";
import { parsePublic, unwrapPublic } from "./public.ts";
import { type QuoteToVerify, verifyQuote } from "./quote-verification.ts";
import { parseSignature } from "./signature.ts";
import { verifySignature } from "./signature-verification.ts";

const nonce = new Uint8Array(32).fill(7);
const key = softwareKey();

/** A quote in which everything is right but `fields`: also what a stolen or simulated key could sign. */
function quoteOf(fields: Partial<AttestFields> = {}, signer = key): QuoteToVerify {
  const attest = forgeAttest(fields);
  return { publicArea: signer.publicArea, attest, signature: softwareSignature(signer, attest), nonce, pcrs: [13] };
}

const invalid = (message: RegExp) => ({ code: "quote-invalid", message });

test("a good quote gives what it proves", () => {
  const proved = verifyQuote(quoteOf());
  assert.deepEqual(proved.pcrDigest, new Uint8Array(32).fill(9));
  assert.deepEqual([proved.clock, proved.resetCount, proved.restartCount], [0xffff_ffff_ffff_fff0n, 3, 4]);
  assert.deepEqual([proved.safe, proved.firmwareVersion], [true, 0x0123_4567_89ab_cdefn]);
});

test("only the key is wrong: it may sign anything", () => {
  const free = softwareKey({ attributes: AK_ATTRIBUTES & ~TPMA_OBJECT.restricted });
  assert.throws(() => verifyQuote(quoteOf({}, free)), invalid(/restricted signing key/));
  assert.throws(() => verifyQuote({ ...quoteOf(), publicArea: new Uint8Array(3) }), invalid(/restricted signing key/));
});

test("only the signature is wrong: another key made it", () => {
  const quote = { ...quoteOf({}, softwareKey()), publicArea: key.publicArea };
  assert.throws(() => verifyQuote(quote), invalid(/signature/));
});

test("only the signature's scheme is wrong", () => {
  const quote = quoteOf();
  const sha384 = quote.signature.slice();
  sha384[3] = 0x0c;
  assert.throws(() => verifyQuote({ ...quote, signature: sha384 }), invalid(/scheme/));
  assert.throws(() => verifyQuote({ ...quote, signature: new Uint8Array(0) }), invalid(/malformed signature/));
});

test("only the magic is wrong", () => {
  assert.throws(() => verifyQuote(quoteOf({ magic: 0xff544346 })), invalid(/generated/));
});

test("only the type is wrong", () => {
  assert.throws(() => verifyQuote(quoteOf({ type: 0x8014 })), invalid(/not a quote/));
});

test("only the selection is wrong: more, fewer, other PCRs, another bank, two banks", () => {
  const one = writePcrSelection("sha256", [13]);
  const two = concatBytes(fromHex("00000002"), one.subarray(4), one.subarray(4));
  const empty = concatBytes(fromHex("00000002"), one.subarray(4), fromHex("000403000000"));
  for (const selections of [
    writePcrSelection("sha256", [13, 14]),
    writePcrSelection("sha256", []),
    writePcrSelection("sha256", [12]),
    writePcrSelection("sha1", [13]),
    fromHex("00000000"),
    two,
    empty,
  ])
    assert.throws(() => verifyQuote(quoteOf({ selections })), invalid(/exactly PCR 13 of sha256/), toHex(selections));
  assert.throws(() => verifyQuote({ ...quoteOf(), pcrs: [13, 14] }), invalid(/exactly PCR 13, 14/));
  const nothing = quoteOf({ selections: writePcrSelection("sha256", []) });
  assert.throws(() => verifyQuote({ ...nothing, pcrs: [] }), invalid(/exactly PCR/));
});

test("only the digest's length is wrong", () => {
  assert.throws(() => verifyQuote(quoteOf({ pcrDigest: new Uint8Array(20) })), invalid(/wrong length/));
});

test("only the nonce is wrong", () => {
  const mismatch = { code: "nonce-mismatch" };
  assert.throws(() => verifyQuote(quoteOf({ nonce: new Uint8Array(32) })), mismatch);
  assert.throws(() => verifyQuote(quoteOf({ nonce: nonce.subarray(1) })), mismatch);
  assert.throws(() => verifyQuote({ ...quoteOf(), nonce: new Uint8Array(0) }), mismatch);
  assert.throws(() => verifyQuote({ ...quoteOf({ nonce: new Uint8Array(0) }), nonce: new Uint8Array(0) }), mismatch);
});

test("the first thing that is wrong is told: signature, then structure, then nonce", () => {
  const wrong = quoteOf({ magic: 1, nonce: new Uint8Array(1) });
  assert.throws(() => verifyQuote(wrong), invalid(/generated/));
  assert.throws(() => verifyQuote({ ...wrong, attest: forgeAttest() }), invalid(/signature/));
});

test("every bit of attestation and signature counts", () => {
  const quote = quoteOf();
  for (const part of ["attest", "signature"] as const)
    for (let bit = 0; bit < quote[part].length * 8; bit++) {
      const bytes = quote[part].slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => verifyQuote({ ...quote, [part]: bytes }), { code: "quote-invalid" }, `bit ${bit} of ${part}`);
    }
});

test("a real RSA quote, every bit of it, and its nonce", { skip: withoutVectors() }, () => {
  const quote: QuoteToVerify = {
    publicArea: unwrapPublic(vector("keylime-ak.pub")),
    attest: vector("keylime-quote.out"),
    signature: vector("keylime-quotesig.out"),
    nonce: vector("keylime-rand.out"),
    pcrs: [15, 16, 22],
  };
  assert.ok(toHex(verifyQuote(quote).pcrDigest).startsWith("ec1636c6"));
  assert.throws(() => verifyQuote({ ...quote, nonce: new Uint8Array(20) }), { code: "nonce-mismatch" });
  assert.throws(() => verifyQuote({ ...quote, pcrs: [15, 16] }), { code: "quote-invalid" });
  const area = parsePublic(quote.publicArea);
  verifySignature(area, quote.attest, parseSignature(quote.signature));
  for (const part of ["attest", "signature"] as const)
    for (let bit = 0; bit < quote[part].length * 8; bit++) {
      const bytes = quote[part].slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => verifyQuote({ ...quote, [part]: bytes }), { code: "quote-invalid" }, `bit ${bit} of ${part}`);
    }
});
