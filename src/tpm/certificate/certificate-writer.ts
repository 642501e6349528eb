import { type KeyObject, sign } from "node:crypto";
import { concatBytes } from "../../core/bytes.ts";
import { TAG } from "./der.ts";

/** One DER element, of at most 65535 bytes (ITU-T X.690). */
export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concatBytes(new Uint8Array([tag, ...size]), content);
}

/** An object identifier from its usual form, "2.5.4.3". */
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
/** An attribute of a name. */
export const pair = (type: string, text: string): Uint8Array => der(TAG.set, der(TAG.sequence, oid(type), utf8(text)));
/** A name that is a common name only. */
const nameOf = (text: string): Uint8Array => der(TAG.sequence, pair("2.5.4.3", text));
export const YES = der(TAG.boolean, new Uint8Array([0xff]));

export function extension(type: string, value: Uint8Array, critical = false): Uint8Array {
  return der(TAG.sequence, oid(type), ...(critical ? [YES] : []), der(TAG.octetString, value));
}

export interface Subject {
  readonly name: string;
  /** ECC P-256. */
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

export interface CertificateWish {
  readonly subject: Subject;
  readonly issuer: Subject;
  /** Positive, in as few bytes as it needs; 1 without it. */
  readonly serial?: Uint8Array;
  readonly extensions?: readonly Uint8Array[];
  /** UTCTime or GeneralizedTime. */
  readonly notBefore?: string;
  /** Without it there is no end, as RFC 5280 (4.1.2.5) writes it. */
  readonly notAfter?: string;
  /** Who signs, when it is not the issuer. */
  readonly signer?: Subject;
  /** Algorithm that the signed part names. */
  readonly innerAlgorithm?: string;
}

const ECDSA_SHA256 = "1.2.840.10045.4.3.2";

/** A certificate of version 3 (RFC 5280), signed with ECDSA and SHA-256. */
export function certificateDer(wish: CertificateWish): Uint8Array {
  const time = (text: string): Uint8Array =>
    der(text.length === 13 ? TAG.utcTime : TAG.generalizedTime, new Uint8Array(Buffer.from(text)));
  const algorithm = der(TAG.sequence, oid(ECDSA_SHA256));
  const signed = der(
    TAG.sequence,
    der(0xa0, der(TAG.integer, new Uint8Array([2]))),
    der(TAG.integer, wish.serial ?? new Uint8Array([1])),
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
