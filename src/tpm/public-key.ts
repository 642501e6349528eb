import { createPublicKey, type KeyObject } from "node:crypto";
import { PimsError } from "../core/errors.ts";
import { type PublicArea, parsePublic } from "./public.ts";

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");

/** The key for node:crypto. PimsError `tpm-malformed` for a point that is not on its curve. */
export function publicKeyOf({ key }: PublicArea): KeyObject {
  try {
    if (key.type === "ecc") {
      const jwk = { kty: "EC", crv: key.curve, x: base64url(key.x), y: base64url(key.y) };
      return createPublicKey({ key: jwk, format: "jwk" });
    }
    const exponent = new Uint8Array([key.exponent >> 16, key.exponent >> 8, key.exponent]);
    const jwk = { kty: "RSA", n: base64url(key.modulus), e: base64url(exponent) };
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch (cause) {
    throw new PimsError("tpm-malformed", "malformed public area: its numbers are not a public key", { cause });
  }
}

/** A TPMT_PUBLIC as PEM (SubjectPublicKeyInfo), for `tpm2_checkquote -u` and OpenSSL. */
export function publicKeyPem(publicArea: Uint8Array): string {
  return publicKeyOf(parsePublic(publicArea)).export({ type: "spki", format: "pem" }).toString();
}
