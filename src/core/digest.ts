import { createHash, hash } from "node:crypto";
import { concatBytes } from "./bytes.ts";

/** SHA-256 (FIPS 180-4) over all parts, 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(hash("sha256", parts.length === 1 ? parts[0]! : concatBytes(...parts), "buffer"));
}

/** SHA-256 as 64 lower-case hexadecimal digits. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return hash("sha256", bytes, "hex");
}

/** A SHA-256 that is fed piece by piece. */
export function sha256Stream(): { update(bytes: Uint8Array): void; hex(): string } {
  const state = createHash("sha256");
  return { update: (bytes) => void state.update(bytes), hex: () => state.digest("hex") };
}

/** SHA-256 of words as the kernel keeps arguments and environment: each ended by a zero byte. Hexadecimal. */
export function wordsDigest(words: readonly string[]): string {
  return sha256Hex(words.map((word) => `${word}\0`).join(""));
}
