import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { errorCode } from "../core/errors.ts";

const TOKEN = /^[0-9a-f]{64}$/;

/** A bearer token: 32 random bytes in hexadecimal. Whoever has it may what it is for, so only its digest is stored. */
export const tokenSchema = z.string().regex(TOKEN);

export function makeToken(): string {
  return randomBytes(32).toString("hex");
}

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** SHA-256 in hexadecimal. */
export function tokenDigest(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** Whether a token has this digest, in a time that does not depend on it. */
export function hasDigest(token: string, digest: string): boolean {
  return timingSafeEqual(Buffer.from(digest, "hex"), Buffer.from(tokenDigest(token), "hex"));
}

/** The token in a file; null when there is no such file, or something else in it. */
export async function readToken(path: string): Promise<string | null> {
  try {
    const text = (await readFile(path, "utf8")).trim();
    return isToken(text) ? text : null;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
