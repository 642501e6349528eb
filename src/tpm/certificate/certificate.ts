import { DerReader, oidText, TAG } from "./der.ts";

/** An X.509 certificate (RFC 5280) taken apart. It proves nothing until its path has been checked. */
export interface Certificate {
  /** The whole certificate without anything before or behind it. */
  readonly der: Uint8Array;
  /** TBSCertificate: what is signed. */
  readonly signed: Uint8Array;
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  /** Names as their DER. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo as DER; its algorithm; the bits of its key. */
  readonly keyInfo: Uint8Array;
  readonly keyAlgorithm: string;
  readonly keyBits: Uint8Array;
  /** By object identifier. */
  readonly extensions: ReadonlyMap<string, Extension>;
}

export interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** More than any certificate of a TPM or of its maker has. */
export const MAX_CERTIFICATE_BYTES = 16 * 1024;
const MAX_EXTENSIONS = 64;

/** [0] version, [3] extensions, [1] and [2] unique identifiers in TBSCertificate. */
const CONTEXT = { version: 0xa0, issuerId: 0x81, subjectId: 0x82, extensions: 0xa3 } as const;

/** Reads a certificate of version 3, and nothing behind it. PimsError `tpm-malformed`. */
export function parseCertificate(der: Uint8Array): Certificate {
  const outer = new DerReader(der);
  if (der.length > MAX_CERTIFICATE_BYTES) outer.fail(`${der.length} bytes`);
  const whole = outer.inside(TAG.sequence);
  outer.end();
  const signed = whole.element(TAG.sequence);
  const algorithm = whole.element(TAG.sequence);
  const signature = bits(whole);
  whole.end();

  const fields = new DerReader(signed.content);
  const version = fields.inside(CONTEXT.version).element(TAG.integer).content;
  if (version.length !== 1 || version[0] !== 2) fields.fail("it is not of version 3");
  fields.element(TAG.integer); // serial number
  const inner = fields.element(TAG.sequence);
  // Else the algorithm that is checked would not be the one that was signed.
  if (Buffer.compare(inner.whole, algorithm.whole) !== 0) fields.fail("it names two signature algorithms");
  const issuer = fields.element(TAG.sequence).whole;
  const validity = fields.inside(TAG.sequence);
  const [notBefore, notAfter] = [time(validity), time(validity)];
  validity.end();
  const subject = fields.element(TAG.sequence).whole;
  const keyInfo = fields.element(TAG.sequence);
  const key = new DerReader(keyInfo.content);
  const keyAlgorithm = oidText(key.inside(TAG.sequence).element(TAG.oid).content);
  const keyBits = bits(key);
  key.end();
  fields.optional(CONTEXT.issuerId);
  fields.optional(CONTEXT.subjectId);
  const extensions = fields.nextTag === CONTEXT.extensions ? readExtensions(fields) : new Map<string, Extension>();
  fields.end();
  return {
    ...{ der, signed: signed.whole, signature, issuer, subject, notBefore, notAfter, extensions },
    signatureAlgorithm: oidText(new DerReader(algorithm.content).element(TAG.oid).content),
    ...{ keyInfo: keyInfo.whole, keyAlgorithm, keyBits },
  };
}

/**
 * The certificate in what a TPM's NV memory holds: some makers fill the index up behind it, and some put TCG's
 * header of seven bytes before it (TCG PC Client Specific Implementation Specification, "TCG_PCCLIENT_STORED_CERT").
 */
export function certificateInNv(contents: Uint8Array): Uint8Array {
  const stored = contents[0] === 0x10 && contents[1] === 0x01 && contents[2] === 0x00;
  return new DerReader(stored ? contents.subarray(7) : contents).element(TAG.sequence).whole.slice();
}

/** A BIT STRING of whole bytes. */
function bits(reader: DerReader): Uint8Array {
  const { content } = reader.element(TAG.bitString);
  if (content[0] !== 0) reader.fail("bits that are no whole bytes");
  return content.subarray(1);
}

function readExtensions(fields: DerReader): Map<string, Extension> {
  const wrapper = fields.inside(CONTEXT.extensions);
  const list = wrapper.inside(TAG.sequence);
  wrapper.end();
  const extensions = new Map<string, Extension>();
  while (!list.atEnd) {
    const one = list.inside(TAG.sequence);
    const oid = oidText(one.element(TAG.oid).content);
    const critical = one.optional(TAG.boolean)?.content[0] === 0xff;
    const value = one.element(TAG.octetString).content;
    one.end();
    if (extensions.has(oid) || extensions.size >= MAX_EXTENSIONS) list.fail("an extension twice, or too many of them");
    extensions.set(oid, { critical, value });
  }
  return extensions;
}

/** UTCTime or GeneralizedTime in the only forms that RFC 5280 allows (4.1.2.5): with seconds, in UTC. */
function time(reader: DerReader): number {
  const { tag, content } = reader.element();
  const text = Buffer.from(content).toString("latin1");
  const [, short, long, rest] = /^(?:(\d{2})|(\d{4}))(\d{10})Z$/.exec(text) ?? [];
  if (
    rest === undefined ||
    (tag === TAG.utcTime ? short : tag === TAG.generalizedTime ? long : undefined) === undefined
  )
    return reader.fail("a time that is none");
  const year = long ?? (Number(short) < 50 ? `20${short}` : `19${short}`);
  const [month, day, hour, minute, second] = rest.match(/\d{2}/g)!;
  const value = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(value) ? reader.fail("a time that is none") : value;
}
