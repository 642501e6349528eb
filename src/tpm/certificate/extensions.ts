import type { Certificate } from "./certificate.ts";
import { DerReader, oidText, TAG } from "./der.ts";

/** Object identifiers of extensions (RFC 5280, 4.2). */
export const EXTENSION = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  certificatePolicies: "2.5.29.32",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

/** Numbers of the bits of KeyUsage. */
export const KEY_USAGE = { keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5 } as const;

/** Whether it may certify others, and how many certificates of such may follow. Absent: it may not. */
export function basicConstraints({ extensions }: Certificate): { ca: boolean; pathLength: number } {
  const extension = extensions.get(EXTENSION.basicConstraints);
  if (extension === undefined) return { ca: false, pathLength: 0 };
  const outer = new DerReader(extension.value);
  const fields = outer.inside(TAG.sequence);
  outer.end();
  const ca = fields.optional(TAG.boolean)?.content[0] === 0xff;
  const length = fields.optional(TAG.integer)?.content;
  fields.end();
  if (length === undefined) return { ca, pathLength: Number.POSITIVE_INFINITY };
  if (length.length !== 1 || length[0]! > 0x7f) fields.fail("a path length that is none");
  return { ca, pathLength: length[0]! };
}

/** Whether the key may be used so; a certificate that does not say for what is for everything (RFC 5280, 4.2.1.3). */
export function mayBeUsedFor({ extensions }: Certificate, bit: number): boolean {
  const extension = extensions.get(EXTENSION.keyUsage);
  if (extension === undefined) return true;
  const { content } = new DerReader(extension.value).element(TAG.bitString);
  return ((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0;
}

/** The purposes of ExtendedKeyUsage; undefined when it does not name any. */
export function extendedKeyUsages({ extensions }: Certificate): string[] | undefined {
  const extension = extensions.get(EXTENSION.extendedKeyUsage);
  if (extension === undefined) return undefined;
  const list = new DerReader(extension.value).inside(TAG.sequence);
  const purposes: string[] = [];
  while (!list.atEnd) purposes.push(oidText(list.element(TAG.oid).content));
  return purposes;
}

export function subjectKeyId({ extensions }: Certificate): Uint8Array | undefined {
  const extension = extensions.get(EXTENSION.subjectKeyIdentifier);
  return extension && new DerReader(extension.value).element(TAG.octetString).content;
}

/** The issuer's key identifier, [0] of AuthorityKeyIdentifier. */
export function authorityKeyId({ extensions }: Certificate): Uint8Array | undefined {
  const extension = extensions.get(EXTENSION.authorityKeyIdentifier);
  return extension && new DerReader(extension.value).inside(TAG.sequence).optional(0x80)?.content;
}

/** What TCG has a certificate of an endorsement key say of its TPM (EK Credential Profile, 3.2.9). */
export interface TpmNames {
  /** "id:53544D20": the vendor's four letters in hexadecimal. */
  readonly manufacturer: string;
  readonly model: string;
  readonly version: string;
}

const MANUFACTURER = "2.23.133.2.1";
const MODEL = "2.23.133.2.2";
const VERSION = "2.23.133.2.3";
/** directoryName in GeneralName. */
const DIRECTORY_NAME = 0xa4;
const MAX_TEXT_BYTES = 128;

/** The TPM's names in the subject's alternative name; undefined when they are not all there. */
export function tpmNames({ extensions }: Certificate): TpmNames | undefined {
  const extension = extensions.get(EXTENSION.subjectAlternativeName);
  if (extension === undefined) return undefined;
  const names = new DerReader(extension.value).inside(TAG.sequence);
  const found = new Map<string, string>();
  while (!names.atEnd) {
    const name = names.element();
    if (name.tag !== DIRECTORY_NAME) continue;
    const sets = new DerReader(name.content).inside(TAG.sequence);
    while (!sets.atEnd) {
      const set = sets.inside(TAG.set);
      while (!set.atEnd) {
        const pair = set.inside(TAG.sequence);
        const oid = oidText(pair.element(TAG.oid).content);
        const { content } = pair.element();
        if (content.length <= MAX_TEXT_BYTES) found.set(oid, Buffer.from(content).toString("utf8"));
      }
    }
  }
  const [manufacturer, model, version] = [MANUFACTURER, MODEL, VERSION].map((oid) => found.get(oid));
  if (manufacturer === undefined || model === undefined || version === undefined) return undefined;
  return { manufacturer, model, version };
}
