import { TPM_ALG, TPM_ECC } from "./algorithms.ts";
import { flushContext } from "./commands/context.ts";
import type { LoadedKey } from "./commands/create-primary.ts";
import { evictControl } from "./commands/evict-control.ts";
import { TPMA_OBJECT } from "./constants.ts";
import { findLoadedPrimary, isTransient, makePrimary } from "./loaded-primary.ts";
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
  const loaded = await findLoadedPrimary(tpm, PREFIX);
  if (loaded !== undefined) return loaded;
  const made = await makePrimary(tpm, AK_TEMPLATE);
  // Another program may have made it in the same instant: of two, everybody keeps the first.
  const first = await findLoadedPrimary(tpm, PREFIX);
  if (first === undefined || (isTransient(first) && first.handle >= made.handle)) return made;
  await flushContext(tpm, made.handle);
  return first;
}

/** Of the owner's range, where no specification puts a key of its own (TCG Registry of Reserved TPM 2.0 Handles). */
const PERSISTENT_AK = 0x81010050;

/** Keeps the attestation key in the TPM over restarts, so that it need not be made again. PimsError `tpm-error`. */
export async function keepAk(tpm: Tpm): Promise<LoadedKey> {
  const ak = await createAk(tpm);
  if (!isTransient(ak)) return ak;
  await evictControl(tpm, ak, PERSISTENT_AK);
  return { ...ak, handle: PERSISTENT_AK };
}
