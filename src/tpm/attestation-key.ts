import { bytesEqual } from "../core/bytes.ts";
import { TPM_ALG, TPM_ECC } from "./algorithms.ts";
import { createPrimary, type LoadedKey } from "./commands/create-primary.ts";
import { getHandles } from "./commands/get-capability.ts";
import { readPublic } from "./commands/read-public.ts";
import { FIRST_HANDLE, TPM_RH_ENDORSEMENT, TPMA_OBJECT } from "./constants.ts";
import { computeName, primaryQualifiedName } from "./name.ts";
import { responseName } from "./response-code.ts";
import type { Tpm } from "./tpm.ts";
import { WireWriter } from "./wire.ts";

/** noDA: wrong passwords for other objects must not lock this key, or anyone on the host could silence the agent. */
const ATTRIBUTES =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.userWithAuth |
  TPMA_OBJECT.noDA |
  TPMA_OBJECT.restricted |
  TPMA_OBJECT.sign;

/** All of the TPMT_PUBLIC that comes before the point: P-256, ECDSA with SHA-256, no policy. */
const PREFIX = new WireWriter()
  .u16(TPM_ALG.ECC)
  .u16(TPM_ALG.SHA256)
  .u32(ATTRIBUTES)
  .u16(0) // authPolicy
  .u16(TPM_ALG.NULL) // symmetric
  .u16(TPM_ALG.ECDSA)
  .u16(TPM_ALG.SHA256)
  .u16(TPM_ECC.P256)
  .u16(TPM_ALG.NULL) // kdf
  .done();

/** Never changed: another template would be another key, and every host would have to be enrolled anew. */
export const AK_TEMPLATE = new WireWriter().bytes(PREFIX).u16(0).u16(0).done();

/**
 * The attestation key: an ECC P-256 restricted signing key of the endorsement hierarchy, the same one each time as long
 * as the TPM's endorsement seed lives. (Quotes by keys of another hierarchy have their reset count obfuscated.)
 *
 * The key stays loaded, and one that is loaded already is returned again, so that programs which share a swtpm share one
 * of its few slots and a program that was killed leaves nothing that its successor does not use. Do not flush it
 * unless nobody else uses the TPM; a `quote` that ends in TPM_RC_REFERENCE_H0 says that somebody has: call this again.
 */
export async function createAk(tpm: Tpm): Promise<LoadedKey> {
  return (await findLoaded(tpm)) ?? (await createPrimary(tpm, TPM_RH_ENDORSEMENT, AK_TEMPLATE));
}

async function findLoaded(tpm: Tpm): Promise<LoadedKey | undefined> {
  for (const handle of await getHandles(tpm, FIRST_HANDLE.transient)) {
    try {
      const { publicArea, name, qualifiedName } = await readPublic(tpm, handle);
      // The qualified name tells our primary key from a child with the same template.
      const ours =
        bytesEqual(publicArea.subarray(0, PREFIX.length), PREFIX) &&
        bytesEqual(name, computeName(publicArea)) &&
        bytesEqual(qualifiedName, primaryQualifiedName(publicArea, TPM_RH_ENDORSEMENT));
      if (ours) return { handle, publicArea, name };
    } catch (error) {
      // Flushed by another program meanwhile, or a sequence object, which has no public area.
      const gone = ["TPM_RC_REFERENCE_H0", "TPM_RC_HANDLE", "TPM_RC_SEQUENCE"];
      if (!gone.includes(responseName(error) ?? "")) throw error;
    }
  }
  return undefined;
}
