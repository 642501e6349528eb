import { fromHex } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";

/** A PCR of the SHA-256 bank after a reset (TPM 2.0 Library, part 1, "PCR initial values"): 32 zero bytes. */
export const ZERO_PCR: Uint8Array = new Uint8Array(32);

/** What TPM2_PCR_Extend makes of a register: H(old ‖ digest). */
export function extendValue(value: Uint8Array, digest: string): Uint8Array {
  return sha256(value, fromHex(digest));
}

/** The value of a register after these digests, from `start`. */
export function replay(digests: Iterable<string>, start: Uint8Array = ZERO_PCR): Uint8Array {
  let value = start;
  for (const digest of digests) value = extendValue(value, digest);
  return value;
}
