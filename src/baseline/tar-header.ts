import { PimsError } from "../core/errors.ts";

/** A header block as it is: names not yet replaced by what longer ones came before it. */
export interface TarHeader {
  readonly typeflag: string;
  readonly name: Uint8Array;
  readonly linkName: Uint8Array;
  readonly mode: number;
  /** Bytes. */
  readonly size: number;
}

export const TAR_BLOCK = 512;

/**
 * Reads a header block of a POSIX (pax(1), "ustar Interchange Format"), GNU or version 7 archive. Throws
 * `image-malformed`.
 */
export function parseTarHeader(block: Uint8Array): TarHeader {
  if (block.length !== TAR_BLOCK || !hasChecksum(block)) throw malformedTar("a header block is damaged");
  const magic = latin1(block.subarray(257, 265));
  const prefix = magic.startsWith("ustar\0") ? untilZero(block.subarray(345, prefixEnd(block))) : new Uint8Array(0);
  const name = untilZero(block.subarray(0, 100));
  return {
    typeflag: String.fromCharCode(block[156]!),
    name: prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from("/"), name]),
    linkName: untilZero(block.subarray(157, 257)),
    mode: numberField(block.subarray(100, 108)) & 0o7777,
    size: numberField(block.subarray(124, 136)),
  };
}

/** Where the field for the first part of a name ends: star keeps times behind a shorter one. */
function prefixEnd(block: Uint8Array): number {
  return latin1(block.subarray(508, 512)) === "tar\0" ? 476 : 500;
}

/** Whether the block has the form that GNU tar wrote before POSIX had extended headers. */
export function isGnuHeader(block: Uint8Array): boolean {
  return latin1(block.subarray(257, 265)) === "ustar  \0";
}

/** Whether a block's checksum is right: the sum of its bytes, the checksum's own counted as spaces. */
export function hasChecksum(block: Uint8Array): boolean {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < TAR_BLOCK; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : block[at]!;
    unsigned += byte;
    // Some old programs added signed characters.
    signed += byte < 128 ? byte : byte - 256;
  }
  const text = latin1(block.subarray(148, 156));
  const sum = /^ *([0-7]+)[ \0]*$/.exec(text)?.[1];
  return sum !== undefined && (Number.parseInt(sum, 8) === unsigned || Number.parseInt(sum, 8) === signed);
}

/** Octal digits, or GNU's binary form for numbers that are too large for them. */
export function numberField(field: Uint8Array): number {
  const first = field[0]!;
  if (first === 0x80) {
    let value = 0;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    if (Number.isSafeInteger(value)) return value;
    throw malformedTar("a number is too large");
  }
  const digits = /^ *([0-7]*)[ \0]*$/.exec(latin1(field))?.[1];
  if (digits === undefined) throw malformedTar("a number is not one");
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

export function untilZero(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

export function malformedTar(why: string, cause?: unknown): PimsError {
  return new PimsError("image-malformed", `the image's archive is not valid: ${why}`, { cause });
}
