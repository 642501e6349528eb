import { type HashName, hashById, TPM_ALG } from "./algorithms.ts";
import { WireReader } from "./wire.ts";

/** TPMT_SIGNATURE (TPM 2.0 Library part 2, "TPMT_SIGNATURE"). Says nothing until `verifySignature` has accepted it. */
export type UnverifiedSignature =
  | { readonly algorithm: "ecdsa"; readonly hash: HashName; readonly r: Uint8Array; readonly s: Uint8Array }
  | { readonly algorithm: "rsassa"; readonly hash: HashName; readonly signature: Uint8Array };

/** MAX_ECC_KEY_BYTES of P-384 and MAX_RSA_KEY_BYTES of 4096 bits. */
const MAX_ECC_BYTES = 48;
const MAX_RSA_BYTES = 512;

/** Reads a whole TPMT_SIGNATURE, ECDSA or RSASSA. PimsError `tpm-malformed` for any other. */
export function parseSignature(bytes: Uint8Array): UnverifiedSignature {
  const reader = new WireReader(bytes, "signature");
  const algorithm = reader.u16();
  if (algorithm !== TPM_ALG.ECDSA && algorithm !== TPM_ALG.RSASSA)
    reader.fail(`signing scheme 0x${algorithm.toString(16)}`);
  const hash = hashById(reader.u16())?.name ?? reader.fail("its hash algorithm is not supported");
  const signature =
    algorithm === TPM_ALG.ECDSA
      ? ({ algorithm: "ecdsa", hash, r: reader.sized(MAX_ECC_BYTES), s: reader.sized(MAX_ECC_BYTES) } as const)
      : ({ algorithm: "rsassa", hash, signature: reader.sized(MAX_RSA_BYTES) } as const);
  reader.end();
  return signature;
}
