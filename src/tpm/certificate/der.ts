import { PimsError } from "../../core/errors.ts";

/** Tags of ASN.1 that certificates use (ITU-T X.690). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** With its tag and length. */
  readonly whole: Uint8Array;
}

/**
 * Reads DER, element by element: one-byte tags, definite lengths in their shortest form. Every read is bounds-checked; what
 * does not fit is PimsError `tpm-malformed`. It never recurses, so no depth can hurt it.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  /** The next element's tag; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  /** The next element, which must have this tag when one is given. */
  element(tag?: number): DerElement {
    const start = this.#offset;
    const found = this.#byte();
    if ((found & 0x1f) === 0x1f) this.fail("a tag of several bytes");
    if (tag !== undefined && found !== tag) this.fail(`tag 0x${found.toString(16)} instead of 0x${tag.toString(16)}`);
    const length = this.#length();
    if (length > this.#bytes.length - this.#offset) this.fail("an element that ends behind its end");
    const content = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return { tag: found, content, whole: this.#bytes.subarray(start, this.#offset) };
  }

  /** A reader of the elements in the next one. */
  inside(tag: number): DerReader {
    return new DerReader(this.element(tag).content);
  }

  /** The next element if it has this tag. */
  optional(tag: number): DerElement | undefined {
    return this.nextTag === tag ? this.element(tag) : undefined;
  }

  /** Refuses anything behind what was read. */
  end(): void {
    if (!this.atEnd) this.fail("more than there should be");
  }

  fail(problem: string): never {
    throw new PimsError("tpm-malformed", `malformed certificate: ${problem} (offset ${this.#offset})`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset];
    if (byte === undefined) this.fail("it ends too early");
    this.#offset++;
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 3) this.fail("a length that is indefinite or too large");
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + this.#byte();
    if (length < 0x80 || (count > 1 && length < 2 ** (8 * (count - 1)))) this.fail("a length not in its shortest form");
    return length;
  }
}

/** An object identifier in its usual form, "2.23.133.8.1". */
export function oidText(content: Uint8Array): string {
  const parts: number[] = [];
  let value = 0;
  for (const [index, byte] of content.entries()) {
    if (value > 2 ** 40 || index > 64) throw new PimsError("tpm-malformed", "malformed certificate: an oversized OID");
    value = value * 128 + (byte & 0x7f);
    if ((byte & 0x80) !== 0) continue;
    if (parts.length > 0) parts.push(value);
    else parts.push(Math.min(2, Math.floor(value / 40)), value - 40 * Math.min(2, Math.floor(value / 40)));
    value = 0;
  }
  if (parts.length === 0 || (content.at(-1)! & 0x80) !== 0)
    throw new PimsError("tpm-malformed", "malformed certificate: an OID that is not whole");
  return parts.join(".");
}
