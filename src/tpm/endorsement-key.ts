import { certificateInNv } from "./certificate/certificate.ts";
import { createPrimary, type LoadedKey } from "./commands/create-primary.ts";
import { nvRead, nvReadPublic } from "./commands/nv.ts";
import { TPM_RH_ENDORSEMENT, TPM_RH_OWNER, TPMA_NV } from "./constants.ts";
import { ekTemplate } from "./templates.ts";
import type { Tpm } from "./tpm.ts";

/** Where a PC's TPM keeps the certificates of the keys of these templates (TCG EK Credential Profile, 2.2.1.4). */
const PLACES = [
  { kind: "rsa-2048", index: 0x01c00002 },
  { kind: "ecc-p256", index: 0x01c0000a },
] as const;

export interface EndorsementKey {
  readonly kind: "rsa-2048" | "ecc-p256";
  /** DER as the TPM holds it; null when it holds none for a key in the low range. */
  readonly certificate: Uint8Array | null;
}

/** Which endorsement key a TPM's maker certified; without a certificate ECC, which is made in a moment. */
export async function findEndorsementKey(tpm: Tpm): Promise<EndorsementKey> {
  for (const { kind, index } of PLACES) {
    const found = await nvReadPublic(tpm, index);
    if (found === undefined || (found.nvPublic.attributes & TPMA_NV.written) === 0) continue;
    const by = (found.nvPublic.attributes & TPMA_NV.authRead) !== 0 ? {} : { by: TPM_RH_OWNER };
    return { kind, certificate: certificateInNv(await nvRead(tpm, found, by)) };
  }
  return { kind: "ecc-p256", certificate: null };
}

/** Makes the endorsement key from its template; flush it when it is not needed any more, it takes one of few places. */
export function createEk(tpm: Tpm, kind: EndorsementKey["kind"]): Promise<LoadedKey> {
  return createPrimary(tpm, TPM_RH_ENDORSEMENT, ekTemplate(kind));
}
