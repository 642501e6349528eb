import { bytesEqual } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { isNvIndex } from "../log/pcr.ts";
import type { LogRecord } from "../log/record.ts";
import { registerName } from "../log/register.ts";
import { extendName } from "../tpm/extend-index.ts";
import {
  type AttestationToVerify,
  type VerifiedAttestation,
  verifyNvContents,
  verifyQuote,
} from "../tpm/quote-verification.ts";

/** What a TPM has said of the register that a log is extended into: a quote's digest over its PCRs, or an NV index. */
export type AttestedRegister = VerifiedAttestation &
  (
    | { readonly nv: null; readonly pcrDigest: Uint8Array }
    | { readonly nv: { readonly indexName: Uint8Array; readonly contents: Uint8Array } }
  );

/**
 * Checks the quote of these PCRs, or what TPM2_NV_Certify gave where the register is an NV index: all but the value that it
 * shows. PimsError `quote-invalid` or `nonce-mismatch`.
 */
export function verifyRegister(
  attestation: AttestationToVerify,
  handle: number,
  pcrs: readonly number[] = [handle],
): AttestedRegister {
  if (!isNvIndex(handle)) return { ...verifyQuote({ ...attestation, pcrs }), nv: null };
  const { indexName, contents, ...head } = verifyNvContents(attestation);
  return { ...head, nv: { indexName, contents } };
}

/** A test whether the register held a value, after so many records since it began. */
export type ShowsValue = (value: Uint8Array, records: number) => boolean;

/** A quote's digest is over the values of its PCRs in the order of their indexes: this one's, and those of `others`. */
export function showsPcr(
  pcr: number,
  pcrDigest: Uint8Array,
  others: ReadonlyMap<number, Uint8Array> = new Map(),
): ShowsValue {
  const indexes = [...others.keys(), pcr].sort((a, b) => a - b);
  return (value) =>
    bytesEqual(sha256(...indexes.map((index) => (index === pcr ? value : others.get(index)!))), pcrDigest);
}

/**
 * Of an NV index, once it is sure that it is the one that the log began with, by the log's first record. PimsError
 * `log-broken` where that does not say which, `pcr-mismatch` where it is another one.
 */
export function showsNv(
  handle: number,
  { indexName, contents }: NonNullable<AttestedRegister["nv"]>,
  first: LogRecord | undefined,
): ShowsValue {
  const [boot] = first?.recnum === 0 ? first.events : [];
  if (boot?.type !== "boot" || boot.nv === undefined)
    throw new PimsError("log-broken", `the log does not say at which count the ${registerName(handle)} began`);
  if (!bytesEqual(indexName, extendName(handle, BigInt(boot.nv.count))))
    throw new PimsError(
      "pcr-mismatch",
      `the ${registerName(handle)} is not the one that the log began with: it was deleted and defined anew`,
    );
  // One that was extended once may be deleted and take its first extend again (extend-index.ts).
  return (value, records) => records >= 2 && bytesEqual(value, contents);
}
