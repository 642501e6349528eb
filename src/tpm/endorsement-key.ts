import { bytesEqual } from "../core/bytes.ts";
import { certificateInNv } from "./certificate/certificate.ts";
import { flushContext } from "./commands/context.ts";
import type { LoadedKey } from "./commands/create-primary.ts";
import { activateCredential } from "./commands/credential.ts";
import { nvRead, nvReadPublic } from "./commands/nv.ts";
import { policySecret } from "./commands/policy.ts";
import { TPM_RH_ENDORSEMENT, TPM_RH_OWNER, TPMA_NV } from "./constants.ts";
import type { CredentialBlob } from "./credential.ts";
import { findLoadedPrimary, makePrimary } from "./loaded-primary.ts";
import { startPolicySession } from "./policy-session.ts";
import { responseName } from "./response-code.ts";
import { bySession } from "./session.ts";
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

/**
 * Does something with the endorsement key: the one that is loaded or kept in the TPM, or one made from the template for as long as it
 * takes, since it needs one of few places. A key that was found may be flushed by the program that made it: then `work` is
 * done once more, with a key made here.
 */
export async function withEk<T>(
  tpm: Tpm,
  kind: EndorsementKey["kind"],
  work: (ek: LoadedKey) => Promise<T>,
): Promise<T> {
  const template = ekTemplate(kind);
  const unique = kind === "rsa-2048" ? 2 + 256 : 2 * (2 + 32);
  const loaded = await findLoadedPrimary(tpm, template.subarray(0, template.length - unique));
  // One that was there may be somebody else's.
  if (loaded !== undefined)
    try {
      return await work(loaded);
    } catch (error) {
      if (!/^TPM_RC_REFERENCE_H\d$/.test(responseName(error) ?? "")) throw error;
    }
  const ek = await makePrimary(tpm, template);
  try {
    return await work(ek);
  } finally {
    await flushContext(tpm, ek.handle);
  }
}

/** Opens a credential by the endorsement key: what `makeCredential` hid for whoever has both keys in one TPM. */
export async function openCredential(
  tpm: Tpm,
  kind: EndorsementKey["kind"],
  object: LoadedKey,
  blob: CredentialBlob,
): Promise<Uint8Array> {
  return withEk(tpm, kind, async (decrypter) => {
    const session = await startPolicySession(tpm);
    try {
      await policySecret(tpm, session, TPM_RH_ENDORSEMENT);
      return await activateCredential(tpm, { object, decrypter, blob, authorization: bySession(session) });
    } finally {
      await flushContext(tpm, session.handle);
    }
  });
}

/** Whether a public area is that of an endorsement key in the low range, all but the key itself. */
export function isEkPublic(publicArea: Uint8Array): boolean {
  return (["rsa-2048", "ecc-p256"] as const).some((kind) => {
    const template = ekTemplate(kind);
    const prefix = template.length - (kind === "rsa-2048" ? 256 : 68);
    return (
      publicArea.length === template.length && bytesEqual(publicArea.subarray(0, prefix), template.subarray(0, prefix))
    );
  });
}
