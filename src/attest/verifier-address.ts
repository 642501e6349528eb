import { createHash, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { z } from "zod";
import { PimsError } from "../core/errors.ts";

/** Where a verifier is, and by which keys it is known. */
export interface VerifierAddress {
  /** Without a slash at its end. */
  readonly url: string;
  /** Any of them will do; empty where the roots of this machine decide. */
  readonly pins: readonly string[];
}

const PIN = /^sha256:[A-Za-z0-9+/]{43}=$/;
/** One in use and those to come. */
export const MAX_PINS = 8;
const MAX_ADDRESS = 2048;

export const pinSchema = z.string().regex(PIN, "a pin is sha256: and 44 characters of base64");
export const addressSchema = z.string().superRefine((text, context) => {
  try {
    parseVerifierAddress(text);
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
});

/** The pin of a public key: SHA-256 over its SubjectPublicKeyInfo, as in RFC 7469 section 2.4. */
export function pinOf(publicKey: KeyObject): string {
  const info = publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(info).digest("base64")}`;
}

/**
 * A verifier's address in one word: its URL and, behind `#`, the pins of its key, as in `https://HOST:7467#sha256:…`.
 * Without pins the host's web PKI decides. PimsError `address-invalid`, and `verifier-plain` for what would send tokens in
 * the clear: `http:` is for the machine itself only.
 */
export function parseVerifierAddress(text: string): VerifierAddress {
  const [plain = "", fragment, ...more] = text.split("#");
  const pins = fragment === undefined ? [] : fragment.split(",");
  const url = URL.parse(plain);
  const isUrl = url !== null && text.length <= MAX_ADDRESS && /^https?:\/\/[^/?@\s]+\/?$/.test(plain);
  if (!isUrl || more.length > 0 || pins.length > MAX_PINS || !pins.every((pin) => PIN.test(pin)))
    throw new PimsError("address-invalid", `${JSON.stringify(text.slice(0, 200))} is not the address of a verifier`, {
      hint: "give one such as https://verifier.example:7467#sha256:…, as the verifier prints it",
    });
  if (url.protocol === "http:" && !isLoopback(hostOf(url)))
    throw new PimsError("verifier-plain", `to ${url.origin} tokens would travel in the clear`, {
      hint: "give an address that begins with https:",
    });
  if (url.protocol === "http:" && pins.length > 0)
    throw new PimsError("address-invalid", `${url.origin} shows no key that could be pinned`, {
      hint: "give an address that begins with https:, or no pin",
    });
  return { url: url.origin, pins };
}

/** The address in one word. */
export function formatVerifierAddress({ url, pins }: VerifierAddress): string {
  return pins.length === 0 ? url : `${url}#${pins.join(",")}`;
}

/** The host of a URL as the resolver and the network take it. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Whether a host can be this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
