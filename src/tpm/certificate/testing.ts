// For tests: certificates as one wishes them, right or wrong in one place.
import { generateKeyPairSync } from "node:crypto";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { type CertificateWish, certificateDer, der, extension, pair, type Subject, YES } from "./certificate-writer.ts";
import { TAG } from "./der.ts";

/** BasicConstraints of a certification authority. */
export function authority(pathLength?: number, ca = true): Uint8Array {
  const length = pathLength === undefined ? [] : [der(TAG.integer, new Uint8Array([pathLength]))];
  return extension("2.5.29.19", der(TAG.sequence, ...(ca ? [YES] : []), ...length), true);
}

/** KeyUsage with these bits of its first byte. */
export const usage = (bits: number): Uint8Array =>
  extension("2.5.29.15", der(TAG.bitString, new Uint8Array([0, bits])), true);

/** The subject's alternative name that TCG asks for. */
export function tpmName(types = ["2.23.133.2.1", "2.23.133.2.2", "2.23.133.2.3"]): Uint8Array {
  const pairs = types.map((type) => pair(type, `id:${type}`));
  return extension("2.5.29.17", der(TAG.sequence, der(0xa4, der(TAG.sequence, ...pairs))), true);
}

export function subjectOf(name: string): Subject {
  return { name, keys: generateKeyPairSync("ec", { namedCurve: "P-256" }) };
}

export function certificateOf(wish: CertificateWish): Certificate {
  return parseCertificate(certificateDer(wish));
}
