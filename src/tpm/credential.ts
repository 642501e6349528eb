import { createCipheriv, createHmac } from "node:crypto";
import { concatBytes } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { hashByName, TPM_ALG } from "./algorithms.ts";
import { MAX_DIGEST_BYTES, TPMA_OBJECT } from "./constants.ts";
import { kdfa } from "./kdf.ts";
import { type PublicArea, parsePublic } from "./public.ts";
import { shareSecret } from "./secret-sharing.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** A secret for whoever holds two keys in one TPM (TPM 2.0 Library part 1, "Credential Protection"). */
export interface CredentialBlob {
  /** TPMS_ID_OBJECT: HMAC and the encrypted secret. */
  readonly idObject: Uint8Array;
  /** TPM2B_ENCRYPTED_SECRET's content. */
  readonly encryptedSecret: Uint8Array;
}

/**
 * TPM2_MakeCredential without a TPM: the secret comes out only of a TPM that holds both the endorsement key and the object
 * with this Name. PimsError `tpm-malformed` when `ekPublic` is no storage key with AES in CFB mode.
 */
export function makeCredential(ekPublic: Uint8Array, objectName: Uint8Array, secret: Uint8Array): CredentialBlob {
  const { nameAlg, symmetric } = storageKey(ekPublic);
  const { secret: seed, encrypted } = shareSecret(ekPublic, "IDENTITY");
  const none = new Uint8Array(0);
  const key = kdfa(nameAlg, seed, "STORAGE", [objectName, none], symmetric.bits);
  const cipher = createCipheriv(`aes-${symmetric.bits}-cfb`, key, new Uint8Array(16));
  const identity = concatBytes(cipher.update(new WireWriter().sized(secret).done()), cipher.final());
  const hmacKey = kdfa(nameAlg, seed, "INTEGRITY", [none, none], hashByName(nameAlg).size * 8);
  const hmac = createHmac(nameAlg, hmacKey).update(concatBytes(identity, objectName)).digest();
  return { idObject: new WireWriter().sized(hmac).bytes(identity).done(), encryptedSecret: encrypted };
}

function storageKey(publicArea: Uint8Array) {
  const area: PublicArea = parsePublic(publicArea);
  const { symmetric, attributes } = area;
  const needed = TPMA_OBJECT.restricted | TPMA_OBJECT.decrypt;
  if ((attributes & needed) !== needed || (attributes & TPMA_OBJECT.sign) !== 0 || symmetric === null)
    throw new PimsError("tpm-malformed", "the key is not a storage key");
  if (symmetric.algorithm !== TPM_ALG.AES || symmetric.mode !== TPM_ALG.CFB || ![128, 256].includes(symmetric.bits))
    throw new PimsError("tpm-malformed", "the storage key does not use AES in CFB mode");
  return { ...area, symmetric };
}

/** Magic and version that tpm2-tools put before a credential in a file. */
const FILE_MAGIC = 0xbadcc0de;
const FILE_VERSION = 1;

/** As `tpm2_makecredential` writes it and `tpm2_activatecredential` reads it. */
export function writeCredentialFile({ idObject, encryptedSecret }: CredentialBlob): Uint8Array {
  return new WireWriter().u32(FILE_MAGIC).u32(FILE_VERSION).sized(idObject).sized(encryptedSecret).done();
}

/** Reads what `tpm2_makecredential` wrote. PimsError `tpm-malformed`. */
export function parseCredentialFile(bytes: Uint8Array): CredentialBlob {
  const reader = new WireReader(bytes, "credential file");
  if (reader.u32() !== FILE_MAGIC || reader.u32() !== FILE_VERSION) reader.fail("it is no credential of tpm2-tools");
  // TPMS_ID_OBJECT: an HMAC of at most a digest, a secret of at most a digest with its size.
  const idObject = reader.sized(2 + MAX_DIGEST_BYTES + 2 + MAX_DIGEST_BYTES);
  const encryptedSecret = reader.sized(512);
  reader.end();
  return { idObject, encryptedSecret };
}
