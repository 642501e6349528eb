import { verify } from "node:crypto";
import { PimsError } from "../core/errors.ts";
import type { PublicArea } from "./public.ts";
import { publicKeyOf } from "./public-key.ts";
import type { UnverifiedSignature } from "./signature.ts";

/**
 * Returns when `signature` is the key's over `message`, by the scheme that the key is bound to. Otherwise PimsError
 * `signature-invalid`, or `tpm-malformed` for numbers that are not a key.
 */
export function verifySignature(key: PublicArea, message: Uint8Array, signature: UnverifiedSignature): void {
  const { scheme } = key;
  // The signer does not choose: a weaker hash than the key's own would be its weakest point.
  if (scheme === null || scheme.algorithm !== signature.algorithm || scheme.hash !== signature.hash)
    throw new PimsError("signature-invalid", "the signature is not of the scheme that the key is bound to");
  const raw = rawSignature(key, signature);
  const publicKey = publicKeyOf(key);
  const good =
    raw !== undefined &&
    (signature.algorithm === "ecdsa"
      ? verify(signature.hash, message, { key: publicKey, dsaEncoding: "ieee-p1363" }, raw)
      : verify(signature.hash, message, publicKey, raw));
  if (!good)
    throw new PimsError("signature-invalid", "the signature does not fit the key and what it should have signed");
}

/** As node:crypto takes it (r ‖ s in full width for ECDSA); undefined when it is not of the key's kind or width. */
function rawSignature({ key }: PublicArea, signature: UnverifiedSignature): Uint8Array | undefined {
  if (key.type === "rsa") {
    if (signature.algorithm !== "rsassa" || signature.signature.length !== key.modulus.length) return undefined;
    return signature.signature;
  }
  if (signature.algorithm !== "ecdsa") return undefined;
  const width = key.x.length;
  const { r, s } = signature;
  if (r.length > width || s.length > width) return undefined;
  const raw = new Uint8Array(2 * width);
  raw.set(r, width - r.length);
  raw.set(s, 2 * width - s.length);
  return raw;
}
