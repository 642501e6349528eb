// Writes a token for a validator's own operator: node operator-token.ts KEY.pem PERMISSION… For ten minutes whoever has it
// may call these methods, "qbft:*" for votes, "perm:*" for the lists, "admin:peers" to look. RFC 7519, ES256.
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const MINUTES = 10;

/** `nowMs` is since 1970 UTC. Besu's form of permissions is group:method, and group:* for all of a group. */
export function operatorToken(key: KeyObject, permissions: readonly string[], nowMs: number): string {
  const wrong = permissions.find((text) => !/^[a-z]+:(\*|[A-Za-z]+)$/.test(text));
  if (wrong !== undefined || permissions.length === 0) throw new Error("a permission looks like qbft:* or admin:peers");
  if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw new Error("the key is not on the curve P-256");
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(nowMs / 1000);
  const signed = `${part({ alg: "ES256", typ: "JWT" })}.${part({ permissions, iat, exp: iat + MINUTES * 60 })}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

if (import.meta.main) {
  const [path = "", ...permissions] = process.argv.slice(2);
  try {
    process.stdout.write(`${operatorToken(createPrivateKey(readFileSync(path)), permissions, Date.now())}\n`);
  } catch (error) {
    process.stderr.write(`operator-token: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
