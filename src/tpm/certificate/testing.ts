// For tests: certificates as one wishes them, right or wrong in one place.
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { concatBytes } from "../../core/bytes.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { TAG } from "./der.ts";

/** One DER element. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concatBytes(new Uint8Array([tag, ...size]), content);
}

export function oid(text: string): Uint8Array {
  const [first, second, ...rest] = text.split(".").map(Number);
  const bytes = [first! * 40 + second!, ...rest].flatMap((value) => {
    const digits = [value & 0x7f];
    for (let more = Math.floor(value / 128); more > 0; more = Math.floor(more / 128))
      digits.unshift(0x80 | (more & 0x7f));
    return digits;
  });
  return der(TAG.oid, new Uint8Array(bytes));
}

const utf8 = (text: string): Uint8Array => der(0x0c, new Uint8Array(Buffer.from(text)));
const pair = (type: string, text: string): Uint8Array => der(TAG.set, der(TAG.sequence, oid(type), utf8(text)));
export const nameOf = (text: string): Uint8Array => der(TAG.sequence, pair("2.5.4.3", text));
const YES = der(TAG.boolean, new Uint8Array([0xff]));

export function extension(type: string, value: Uint8Array, critical = false): Uint8Array {
  return der(TAG.sequence, oid(type), ...(critical ? [YES] : []), der(TAG.octetString, value));
}

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

export interface Subject {
  readonly name: string;
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

export function subjectOf(name: string): Subject {
  return { name, keys: generateKeyPairSync("ec", { namedCurve: "P-256" }) };
}

export interface CertificateWish {
  readonly subject: Subject;
  readonly issuer: Subject;
  readonly extensions?: readonly Uint8Array[];
  readonly notBefore?: string;
  readonly notAfter?: string;
  /** Who signs, when it is not the issuer. */
  readonly signer?: Subject;
  /** Algorithm that the signed part names. */
  readonly innerAlgorithm?: string;
}

const ECDSA_SHA256 = "1.2.840.10045.4.3.2";

export function certificateDer(wish: CertificateWish): Uint8Array {
  const time = (text: string): Uint8Array =>
    der(text.length === 13 ? TAG.utcTime : TAG.generalizedTime, new Uint8Array(Buffer.from(text)));
  const algorithm = der(TAG.sequence, oid(ECDSA_SHA256));
  const signed = der(
    TAG.sequence,
    der(0xa0, der(TAG.integer, new Uint8Array([2]))),
    der(TAG.integer, new Uint8Array([1])),
    der(TAG.sequence, oid(wish.innerAlgorithm ?? ECDSA_SHA256)),
    nameOf(wish.issuer.name),
    der(TAG.sequence, time(wish.notBefore ?? "200101000000Z"), time(wish.notAfter ?? "99991231235959Z")),
    nameOf(wish.subject.name),
    new Uint8Array(wish.subject.keys.publicKey.export({ type: "spki", format: "der" })),
    ...(wish.extensions?.length ? [der(0xa3, der(TAG.sequence, ...wish.extensions))] : []),
  );
  const signature = sign("sha256", signed, (wish.signer ?? wish.issuer).keys.privateKey);
  return der(TAG.sequence, signed, algorithm, der(TAG.bitString, new Uint8Array([0]), signature));
}

export function certificateOf(wish: CertificateWish): Certificate {
  return parseCertificate(certificateDer(wish));
}
