import type { ByteSource } from "./byte-source.ts";
import { latin1, malformedTar, numberField, TAR_BLOCK } from "./tar-header.ts";

/** Where a sparse file has bytes; everything between is zero. In bytes of the whole file. */
export interface DataRange {
  readonly offset: number;
  readonly size: number;
}

export interface SparseMap {
  readonly ranges: readonly DataRange[];
  /** Bytes of the whole file. */
  readonly realSize: number;
}

/** Most bytes that say where the data of one file is. */
const MAX_MAP_BYTES = 1024 * 1024;

const ZEROS = new Uint8Array(64 * 1024);

/**
 * GNU tar's old form ("Old GNU Format" in its manual): four ranges in the header block, further ones in blocks of 21
 * that come before the content. Throws `image-malformed`.
 */
export async function readOldSparseMap(block: Uint8Array, source: ByteSource): Promise<SparseMap> {
  const ranges = rangesIn(block.subarray(386, 482));
  let more = block[482] !== 0;
  for (let bytes = TAR_BLOCK; more; bytes += TAR_BLOCK) {
    if (bytes > MAX_MAP_BYTES) throw malformedTar("a sparse file has too many holes");
    const extension = await source.take(TAR_BLOCK);
    if (extension.length < TAR_BLOCK) throw malformedTar("it ends early");
    ranges.push(...rangesIn(extension.subarray(0, 504)));
    more = extension[504] !== 0;
  }
  return { ranges, realSize: numberField(block.subarray(483, 495)) };
}

function rangesIn(fields: Uint8Array): DataRange[] {
  const ranges: DataRange[] = [];
  for (let at = 0; at < fields.length && fields[at] !== 0; at += 24) {
    const offset = numberField(fields.subarray(at, at + 12));
    ranges.push({ offset, size: numberField(fields.subarray(at + 12, at + 24)) });
  }
  return ranges;
}

/**
 * The form 1.0 of GNU tar in pax archives: the content begins with decimal numbers, a line each, padded to whole blocks.
 * The first is how many ranges there are, then come offset and size of each. Throws `image-malformed`.
 */
export async function readSparseMapInContent(
  take: () => Promise<Uint8Array>,
): Promise<{ ranges: DataRange[]; bytes: number }> {
  let text = "";
  let bytes = 0;
  let wanted = 1;
  let lines = 0;
  while (lines < wanted) {
    const block = latin1(await take());
    bytes += block.length;
    if (block.length < TAR_BLOCK) throw malformedTar("a sparse file's map ends early");
    if (bytes > MAX_MAP_BYTES) throw malformedTar("a sparse file has too many holes");
    text += block;
    lines += block.split("\n").length - 1;
    if (wanted === 1 && lines > 0) wanted += 2 * decimal(text.slice(0, text.indexOf("\n")));
  }
  const numbers = text.split("\n", wanted).slice(1);
  return { ranges: pairs(numbers), bytes };
}

/** Offset and size in turn. Throws `image-malformed`. */
export function pairs(numbers: readonly string[]): DataRange[] {
  if (numbers.length % 2 !== 0) throw malformedTar("a sparse file's map has an offset without a size");
  const ranges: DataRange[] = [];
  for (let at = 0; at < numbers.length; at += 2)
    ranges.push({ offset: decimal(numbers[at]!), size: decimal(numbers[at + 1]!) });
  return ranges;
}

export function decimal(text: string): number {
  const value = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(value)) throw malformedTar("a size is not a number");
  return value;
}

/** Throws `image-malformed` unless the ranges follow each other inside the file and hold exactly what is stored of it. */
export function checkSparseMap({ ranges, realSize }: SparseMap, storedSize: number): void {
  let end = 0;
  let stored = 0;
  for (const { offset, size } of ranges) {
    if (offset < end || offset + size > realSize) throw malformedTar("a sparse file's map contradicts itself");
    end = offset + size;
    stored += size;
  }
  if (stored !== storedSize) throw malformedTar("a sparse file's map is not that of its content");
}

/** The whole file, holes as zeros. `stored` has exactly the bytes of the ranges. */
export async function* withHoles(
  { ranges, realSize }: SparseMap,
  stored: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const chunks = stored[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array(0);
  let at = 0;
  for (const { offset, size } of ranges) {
    yield* zeros(offset - at);
    for (let left = size; left > 0; ) {
      if (chunk.length === 0) {
        const next = await chunks.next();
        if (next.done) throw malformedTar("it ends early");
        chunk = next.value;
      }
      const piece = chunk.subarray(0, left);
      chunk = chunk.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
    at = offset + size;
  }
  yield* zeros(realSize - at);
}

function* zeros(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, left);
}
