import { bytesEqual } from "../core/bytes.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { type HashName, hashByName } from "./algorithms.ts";
import { parseAttest, parseNvAttest, type UnverifiedAttest, type UnverifiedAttestHead } from "./attest.ts";
import { isRestrictedSigningKey, type PublicArea, parsePublic } from "./public.ts";
import { parseSignature } from "./signature.ts";
import { verifySignature } from "./signature-verification.ts";

export interface AttestationToVerify {
  /** TPMT_PUBLIC of the attestation key, known to the verifier from elsewhere; never the one that came with the quote. */
  readonly publicArea: Uint8Array;
  /** TPMS_ATTEST, untrusted. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE, untrusted. */
  readonly signature: Uint8Array;
  /** What the verifier gave out for this quote only. */
  readonly nonce: Uint8Array;
}

export interface QuoteToVerify extends AttestationToVerify {
  /** Indexes that must be quoted, and no others. */
  readonly pcrs: readonly number[];
  readonly bank?: HashName;
}

/** What the TPM with the attestation key said after it was given the nonce. */
export interface VerifiedAttestation {
  /** Milliseconds of power since the TPM's owner was last cleared. */
  readonly clock: bigint;
  readonly resetCount: number;
  readonly restartCount: number;
  readonly safe: boolean;
  readonly firmwareVersion: bigint;
  readonly qualifiedSigner: Uint8Array;
}

export interface VerifiedQuote extends VerifiedAttestation {
  /** Hash over the quoted PCRs' values: compare with `pcrDigestOf`. */
  readonly pcrDigest: Uint8Array;
}

/** What an NV index held. Its Name, which tells what it is, is still to be compared. */
export interface VerifiedNvContents extends VerifiedAttestation {
  readonly indexName: Uint8Array;
  readonly contents: Uint8Array;
}

/**
 * Checks a quote, in this order: the key can sign nothing but what its TPM made, the signature, the structure (magic,
 * type), the bank and the set of PCRs exactly, the nonce. PimsError `quote-invalid` or `nonce-mismatch`.
 *
 * It does not say whose TPM it was (that is enrollment's), nor that the PCRs' values are good (that is replay's).
 */
export function verifyQuote(quote: QuoteToVerify): VerifiedQuote {
  const key = restrictedSigningKey(quote.publicArea);
  const attest = signedAttest(key, quote, parseAttest);
  checkSelection(attest, quote.bank ?? "sha256", quote.pcrs);
  const digestSize = hashByName(key.scheme!.hash).size;
  if (attest.pcrDigest.length !== digestSize) throw invalid("the digest over its PCRs has the wrong length");
  checkNonce(attest, quote.nonce);
  return { ...headOf(attest), pcrDigest: attest.pcrDigest };
}

/**
 * Checks what TPM2_NV_Certify gave of the whole of an NV index, from its beginning, in the same order: key, signature,
 * structure, nonce. PimsError `quote-invalid` or `nonce-mismatch`.
 */
export function verifyNvContents(certified: AttestationToVerify): VerifiedNvContents {
  const key = restrictedSigningKey(certified.publicArea);
  const attest = signedAttest(key, certified, parseNvAttest);
  if (attest.offset !== 0) throw invalid("it does not show its NV index from the beginning");
  checkNonce(attest, certified.nonce);
  return { ...headOf(attest), indexName: attest.indexName, contents: attest.contents };
}

function headOf(attest: UnverifiedAttestHead): VerifiedAttestation {
  const { clock, resetCount, restartCount, safe, firmwareVersion, qualifiedSigner } = attest;
  return { clock, resetCount, restartCount, safe, firmwareVersion, qualifiedSigner };
}

function checkNonce({ extraData }: UnverifiedAttestHead, nonce: Uint8Array): void {
  // An empty nonce would be satisfied by every quote that was ever made without one.
  if (nonce.length === 0 || !bytesEqual(extraData, nonce))
    throw new PimsError("nonce-mismatch", "the quote was not made for this nonce", {
      hint: "an old quote may have been replayed",
    });
}

function restrictedSigningKey(publicArea: Uint8Array): PublicArea {
  if (!isRestrictedSigningKey(publicArea))
    throw invalid("the attestation key is not a restricted signing key that is fixed to its TPM");
  return parsePublic(publicArea);
}

/** The signature is over the bytes as they are, so nothing of them is interpreted before it has been verified. */
function signedAttest<T>(key: PublicArea, quote: AttestationToVerify, parse: (attest: Uint8Array) => T): T {
  try {
    verifySignature(key, quote.attest, parseSignature(quote.signature));
    return parse(quote.attest);
  } catch (cause) {
    const code = errorCode(cause);
    if (code !== "signature-invalid" && code !== "tpm-malformed") throw cause;
    throw invalid((cause as PimsError).message, cause);
  }
}

function checkSelection(attest: UnverifiedAttest, bank: HashName, pcrs: readonly number[]): void {
  const expected = [...new Set(pcrs)].sort((a, b) => a - b);
  const [selection, ...more] = attest.pcrSelections;
  const exact =
    selection !== undefined &&
    more.length === 0 &&
    selection.bank === bank &&
    selection.pcrs.length === expected.length &&
    selection.pcrs.every((pcr, index) => pcr === expected[index]);
  if (!exact || expected.length === 0)
    throw invalid(`the quote is not of exactly PCR ${expected.join(", ")} of ${bank}`);
}

function invalid(problem: string, cause?: unknown): PimsError {
  return new PimsError("quote-invalid", `the quote is not valid: ${problem}`, { cause });
}
