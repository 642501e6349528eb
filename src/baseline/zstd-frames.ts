import type { ByteSource } from "./byte-source.ts";
import { malformedTar } from "./tar-header.ts";

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
/** RFC 8878 §3.1.1.2.4: no block is larger. */
const MAX_BLOCK_BYTES = 128 * 1024;
const MAX_SKIP_BYTES = 1024 * 1024;

/** Whether bytes start like a Zstandard frame, one to be skipped included. */
export function isZstd(start: Uint8Array): boolean {
  if (start.length < 4) return false;
  const magic = littleEndian(start.subarray(0, 4));
  return magic === MAGIC || isSkippable(magic);
}

/**
 * The packed bytes of the next frame that has content; frames to be skipped are. Undefined at the end. It has to be read
 * to its end, or given up, before the next one. RFC 8878 §3.1. Throws `image-malformed`.
 */
export async function nextZstdFrame(source: ByteSource): Promise<AsyncGenerator<Uint8Array> | undefined> {
  for (;;) {
    const start = await source.take(4);
    if (start.length === 0) return undefined;
    const magic = start.length < 4 ? 0 : littleEndian(start);
    if (magic === MAGIC) return frame(source, start);
    if (!isSkippable(magic)) throw malformedTar("something else follows a Zstandard frame");
    for (let left = littleEndian(await exactly(source, 4)); left > 0; ) {
      const skipped = await source.next(Math.min(left, MAX_SKIP_BYTES));
      if (skipped === undefined) throw early();
      left -= skipped.length;
    }
  }
}

async function* frame(source: ByteSource, magic: Uint8Array): AsyncGenerator<Uint8Array> {
  const descriptor = await exactly(source, 1);
  const flags = descriptor[0]!;
  const singleSegment = (flags & 0x20) !== 0;
  const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][flags >> 6]!;
  const headerBytes = (singleSegment ? 0 : 1) + [0, 1, 2, 4][flags & 3]! + contentSizeBytes;
  yield Buffer.concat([magic, descriptor, await exactly(source, headerBytes)]);
  for (let last = false; !last; ) {
    const header = await exactly(source, 3);
    const value = littleEndian(header);
    last = (value & 1) !== 0;
    const [type, size] = [(value >> 1) & 3, value >> 3];
    if (type === 3 || size > MAX_BLOCK_BYTES) throw malformedTar("a Zstandard block is not valid");
    // Type 1 is one byte, repeated. The checksum goes with the last block: then nothing is read after the decompressor's end.
    const rest = (type === 1 ? 1 : size) + (last && (flags & 4) !== 0 ? 4 : 0);
    yield Buffer.concat([header, await exactly(source, rest)]);
  }
}

async function exactly(source: ByteSource, length: number): Promise<Uint8Array> {
  if (length === 0) return new Uint8Array(0);
  const bytes = await source.take(length);
  if (bytes.length < length) throw early();
  return bytes;
}

function early(): Error {
  return malformedTar("a Zstandard frame ends early");
}

function isSkippable(magic: number): boolean {
  return (magic & 0xfffffff0) >>> 0 === SKIPPABLE;
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}
