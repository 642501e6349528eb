import { execute } from "../command.ts";
import { MAX_DIGEST_BYTES, MAX_STRUCTURE_BYTES } from "../constants.ts";
import type { CredentialBlob } from "../credential.ts";
import type { Handle } from "../handle.ts";
import { type Authorization, EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

/** TPM2_MakeCredential (part 3): what `makeCredential` does without a TPM, by a loaded decryption key. */
export async function makeCredentialByTpm(
  tpm: Tpm,
  decrypter: number,
  credential: Uint8Array,
  objectName: Uint8Array,
): Promise<CredentialBlob> {
  const { parameters } = await execute(tpm, {
    name: "MakeCredential",
    handles: [decrypter],
    parameters: new WireWriter().sized(credential).sized(objectName).done(),
  });
  const idObject = parameters.sized(MAX_STRUCTURE_BYTES);
  const encryptedSecret = parameters.sized(MAX_STRUCTURE_BYTES);
  parameters.end();
  return { idObject, encryptedSecret };
}

/**
 * TPM2_ActivateCredential (part 3): the secret, only if `object` and `decrypter` are both loaded in this TPM and the
 * object's Name is the one that the credential was made for.
 */
export async function activateCredential(
  tpm: Tpm,
  options: {
    readonly object: Handle;
    readonly decrypter: Handle;
    readonly blob: CredentialBlob;
    /** For the decrypter: an endorsement key's is a policy session. */
    readonly authorization: Authorization;
  },
): Promise<Uint8Array> {
  const { parameters } = await execute(tpm, {
    name: "ActivateCredential",
    handles: [options.object, options.decrypter],
    authorizations: [EMPTY_PASSWORD, options.authorization],
    parameters: new WireWriter().sized(options.blob.idObject).sized(options.blob.encryptedSecret).done(),
  });
  const secret = parameters.sized(MAX_DIGEST_BYTES);
  parameters.end();
  return secret;
}
