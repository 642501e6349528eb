import type { ByteSource } from "./byte-source.ts";
import { type PaxRecords, parsePax } from "./pax.ts";
import { checkSparseMap, readOldSparseMap, readSparseMapInContent, type SparseMap, withHoles } from "./sparse.ts";
import { isGnuHeader, malformedTar, parseTarHeader, TAR_BLOCK, type TarHeader, untilZero } from "./tar-header.ts";

/** Most bytes of an extended header or a long name. */
const MAX_EXTENSION_BYTES = 1024 * 1024;
const MAX_CHUNK_BYTES = 1024 * 1024;

export type TarType = "file" | "hard-link" | "link" | "character-device" | "block-device" | "directory" | "fifo";

const types: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  S: "file",
  "1": "hard-link",
  "2": "link",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  "6": "fifo",
};

/** One file of an archive. Nothing about its name is checked. */
export interface TarEntry {
  readonly type: TarType;
  readonly name: Uint8Array;
  /** Where a hard or symbolic link leads. */
  readonly linkName: Uint8Array;
  readonly mode: number;
  /** Bytes of content, holes of a sparse file with it; 0 for everything but files. */
  readonly size: number;
  /** How many of them the archive does not hold: zeros of a sparse file. */
  readonly holes: number;
  /** The content in order, once. What is not read is skipped. */
  readonly content: AsyncIterable<Uint8Array>;
}

/** What headers before an entry's own say about it. */
interface Extensions {
  readonly pax?: PaxRecords;
  readonly longName?: Uint8Array;
  readonly longLink?: Uint8Array;
}

/**
 * Reads a tar archive of any of the forms that images come in (version 7, ustar, pax, GNU, star). An entry has to be
 * done with before the next is asked for. Where forms leave a choice, it is that of Go's archive/tar, which engines
 * unpack by. Memory is bounded whatever the archive says. Throws `image-malformed`. An archive may end without its two
 * zero blocks, as in images of some builders.
 */
export async function* readTar(source: ByteSource): AsyncGenerator<TarEntry> {
  let before: Extensions = {};
  for (;;) {
    const block = await nextBlock(source);
    if (block === undefined) break;
    const header = parseTarHeader(block);
    if (header.typeflag === "x") before = { ...before, pax: parsePax(await extension(source, header)) };
    else if (header.typeflag === "L") before = { ...before, longName: untilZero(await extension(source, header)) };
    else if (header.typeflag === "K") before = { ...before, longLink: untilZero(await extension(source, header)) };
    else if (header.typeflag === "g") {
      await extension(source, header);
      before = {};
    } else {
      yield* oneEntry(source, { header, block, ...before });
      before = {};
    }
  }
}

async function* oneEntry(
  source: ByteSource,
  { header, block, pax = {}, longName, longLink }: Extensions & { header: TarHeader; block: Uint8Array },
): AsyncGenerator<TarEntry> {
  const { typeflag, mode } = header;
  const known = types[typeflag];
  if (known === undefined) throw malformedTar(`it has an entry of the unknown type ${JSON.stringify(typeflag)}`);
  const name = longName ?? pax.path ?? header.name;
  const linkName = longLink ?? pax.linkPath ?? header.linkName;
  // Version 7 has no type for folders; the slash tells.
  const type = typeflag === "\0" && name.at(-1) === 0x2f ? "directory" : known;
  // Others than files have no content, whatever their size says.
  const stored = type === "file" ? (pax.size ?? header.size) : 0;
  let left = stored;
  async function* content(): AsyncGenerator<Uint8Array> {
    while (left > 0) {
      const chunk = await source.next(Math.min(left, MAX_CHUNK_BYTES));
      if (chunk === undefined) throw malformedTar("it ends early");
      left -= chunk.length;
      yield chunk;
    }
  }
  const take = async (): Promise<Uint8Array> => {
    const bytes = await source.take(Math.min(left, TAR_BLOCK));
    left -= bytes.length;
    return bytes;
  };
  const sparse = await sparseMap(source, { block, typeflag, pax, stored, take });
  if (sparse === undefined) {
    yield { type, name, linkName, mode, size: stored, holes: 0, content: content() };
  } else {
    if (type !== "file") throw malformedTar("something else than a file is sparse");
    checkSparseMap(sparse, left);
    const { realSize } = sparse;
    yield {
      ...{ type, name: pax.sparse?.name ?? name, linkName, mode, size: realSize, holes: realSize - left },
      content: withHoles(sparse, content()),
    };
  }
  for await (const _ of content());
  await skipPadding(source, stored);
}

interface Stored {
  readonly block: Uint8Array;
  readonly typeflag: string;
  readonly pax: PaxRecords;
  /** Bytes that the archive holds of it. */
  readonly stored: number;
  /** The next block of the content. */
  readonly take: () => Promise<Uint8Array>;
}

async function sparseMap(
  source: ByteSource,
  { block, typeflag, pax, stored, take }: Stored,
): Promise<SparseMap | undefined> {
  if (typeflag === "S") {
    if (!isGnuHeader(block)) throw malformedTar("it has a sparse file in an archive of another form");
    return readOldSparseMap(block, source);
  }
  if (pax.sparse === undefined) return undefined;
  const realSize = pax.sparse.realSize ?? stored;
  if (pax.sparse.ranges !== null) return { ranges: pax.sparse.ranges, realSize };
  return { ranges: (await readSparseMapInContent(take)).ranges, realSize };
}

async function nextBlock(source: ByteSource): Promise<Uint8Array | undefined> {
  const block = await source.take(TAR_BLOCK);
  if (block.length === 0) return undefined;
  if (block.some((byte) => byte !== 0)) return block;
  const second = await source.take(TAR_BLOCK);
  if (second.some((byte) => byte !== 0)) throw malformedTar("a header block is empty");
  return undefined;
}

async function extension(source: ByteSource, header: TarHeader): Promise<Uint8Array> {
  if (header.size > MAX_EXTENSION_BYTES) throw malformedTar("an extended header is too long");
  const bytes = Uint8Array.from(await source.take(header.size));
  if (bytes.length < header.size) throw malformedTar("it ends early");
  await skipPadding(source, header.size);
  return bytes;
}

async function skipPadding(source: ByteSource, size: number): Promise<void> {
  const padding = (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
  if (padding > 0 && (await source.take(padding)).length < padding) throw malformedTar("it ends early");
}
