import { hash } from "node:crypto";
import { concatBytes } from "../core/bytes.ts";
import type { HashName } from "./algorithms.ts";

/**
 * What a quote holds of PCR values: their hash, one after the other in rising order of their index, by the hash of the
 * signing scheme (TPM 2.0 Library part 1, "Selecting Multiple PCR").
 */
export function pcrDigestOf(values: readonly Uint8Array[], schemeHash: HashName = "sha256"): Uint8Array {
  return new Uint8Array(hash(schemeHash, concatBytes(...values), "buffer"));
}
