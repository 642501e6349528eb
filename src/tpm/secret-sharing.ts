import {
  constants,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { PimsError } from "../core/errors.ts";
import { hashByName } from "./algorithms.ts";
import { kdfe } from "./kdf.ts";
import { type PublicArea, parsePublic } from "./public.ts";
import { publicKeyOf } from "./public-key.ts";
import { WireWriter } from "./wire.ts";

export interface SharedSecret {
  /** As long as a digest of the key's name algorithm. */
  readonly secret: Uint8Array;
  /** TPM2B_ENCRYPTED_SECRET's content: only the TPM with the key finds the secret in it. */
  readonly encrypted: Uint8Array;
}

/**
 * Makes a secret that only the TPM with a decryption key learns (TPM 2.0 Library part 1, annexes "RSA" and "ECC", "Secret
 * Sharing"). The label says what for: "SECRET" for a session's salt, "IDENTITY" for a credential. PimsError
 * `tpm-malformed` for a key that is none.
 */
export function shareSecret(publicArea: Uint8Array, label: "SECRET" | "IDENTITY"): SharedSecret {
  const area = parsePublic(publicArea);
  return area.key.type === "rsa" ? shareByRsa(area, label) : shareByEcc(area, area.key, label);
}

function shareByRsa(area: PublicArea, label: string): SharedSecret {
  const secret = new Uint8Array(randomBytes(hashByName(area.nameAlg).size));
  const padding = {
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash: area.nameAlg,
    oaepLabel: Buffer.from(`${label}\0`, "latin1"),
  };
  const encrypted = publicEncrypt({ key: publicKeyOf(area), ...padding }, secret);
  return { secret, encrypted: new Uint8Array(encrypted) };
}

function shareByEcc(area: PublicArea, key: Extract<PublicArea["key"], { type: "ecc" }>, label: string): SharedSecret {
  const ephemeral = generateKeyPairSync("ec", { namedCurve: key.curve });
  const { x, y } = createPublicKey(ephemeral.privateKey).export({ format: "jwk" });
  const [ownX, ownY] = [x, y].map((coordinate) => new Uint8Array(Buffer.from(coordinate ?? "", "base64url")));
  if (ownX === undefined || ownY === undefined) throw new PimsError("tpm-malformed", "no ephemeral key could be made");
  const z = new Uint8Array(diffieHellman({ privateKey: ephemeral.privateKey, publicKey: publicKeyOf(area) }));
  const secret = kdfe(area.nameAlg, z, label, [ownX, key.x], hashByName(area.nameAlg).size * 8);
  // TPMS_ECC_POINT.
  return { secret, encrypted: new WireWriter().sized(ownX).sized(ownY).done() };
}
