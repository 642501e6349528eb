import { createHash, createPublicKey, type JsonWebKey, type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";
import { PimsError } from "../core/errors.ts";

/** 32 bytes in base64url, the bits of its end that say nothing being zero: so that one key has one form. */
const coordinate = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);

/** A P-256 public key as a JSON Web Key (RFC 7517), with nothing else in it. */
export const jwkSchema = z.strictObject({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  x: coordinate,
  y: coordinate,
});
export type Jwk = z.infer<typeof jwkSchema>;

/** The public half of a P-256 key. */
export function jwkOf(key: KeyObject): Jwk {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const { kty, crv, x, y } = publicKey.export({ format: "jwk" });
  return jwkSchema.parse({ kty, crv, x, y });
}

/** The key of a JWK. Throws `results-invalid` for a point that is not on its curve, or written in another way than ours. */
export function keyOfJwk(jwk: Jwk): KeyObject {
  const invalid = (cause?: unknown) =>
    new PimsError("results-invalid", "the verifier's key is no point of its curve", { cause });
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk satisfies JsonWebKey, format: "jwk" });
  } catch (cause) {
    throw invalid(cause);
  }
  // The last character of a coordinate has bits to spare.
  if (JSON.stringify(jwkOf(key)) !== JSON.stringify(jwk)) throw invalid();
  return key;
}

/** RFC 7638: what tells one key from another in a token's header. */
export function thumbprint({ crv, kty, x, y }: Jwk): string {
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}

/** A JSON Web Token (RFC 7519) of an entity attestation (RFC 9782), signed by ES256 with a P-256 private key. */
export function signJwt(claims: object, privateKey: KeyObject): string {
  const header = { alg: "ES256", typ: "eat+jwt", kid: thumbprint(jwkOf(privateKey)) };
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

const headerSchema = z.strictObject({ alg: z.literal("ES256"), typ: z.literal("eat+jwt"), kid: z.string().max(64) });

/** The claims of a token that this key has signed. Throws `results-invalid`. */
export function verifyJwt(token: string, publicKey: KeyObject): unknown {
  const invalid = (why: string) => new PimsError("results-invalid", `the verifier's results are not valid: ${why}`);
  const [header, claims, signature, ...more] = token.split(".");
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0)
    throw invalid("they are no token");
  const raw = Buffer.from(signature, "base64url");
  // Another text of the same bytes would be another token with the same signature.
  if (raw.toString("base64url") !== signature) throw invalid("they are no token");
  const key = { key: publicKey, dsaEncoding: "ieee-p1363" } as const;
  if (!verify("sha256", Buffer.from(`${header}.${claims}`), key, raw)) throw invalid("the signature is not the key's");
  try {
    const [head, body] = [header, claims].map((part) => JSON.parse(Buffer.from(part, "base64url").toString("utf8")));
    if (headerSchema.safeParse(head).success) return body;
  } catch {
    throw invalid("they are no token");
  }
  throw invalid("they are signed in another way than ES256");
}
