import type { ByteSource } from "./byte-source.ts";
import { type PaxRecords, parsePax } from "./pax.ts";
import { malformedTar, parseTarHeader, TAR_BLOCK, type TarHeader, untilZero } from "./tar-header.ts";

/** Most bytes of an extended header or a long name. */
const MAX_EXTENSION_BYTES = 1024 * 1024;
const MAX_CHUNK_BYTES = 1024 * 1024;

export type TarType = "file" | "hard-link" | "link" | "character-device" | "block-device" | "directory" | "fifo";

const types: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
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
  /** Bytes of content; 0 for everything but files. */
  readonly size: number;
  /** The content in order, once. What is not read is skipped. */
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * Reads a tar archive of any of the forms that images come in. An entry has to be done with before the next is asked
 * for. Memory is bounded whatever the archive says. Throws `image-malformed`; sparse files are refused, since no image
 * has them. An archive may end without its two zero blocks, as in images of some builders.
 */
export async function* readTar(source: ByteSource): AsyncGenerator<TarEntry> {
  let pax: PaxRecords = {};
  let longName: Uint8Array | undefined;
  let longLink: Uint8Array | undefined;
  for (;;) {
    const header = await nextHeader(source);
    if (header === undefined) break;
    if (header.typeflag === "x") pax = parsePax(await extension(source, header));
    else if (header.typeflag === "g") await extension(source, header);
    else if (header.typeflag === "L") longName = untilZero(await extension(source, header));
    else if (header.typeflag === "K") longLink = untilZero(await extension(source, header));
    else {
      const name = longName ?? pax.path ?? header.name;
      const linkName = longLink ?? pax.linkPath ?? header.linkName;
      yield* oneEntry(source, { ...header, name, linkName, size: pax.size ?? header.size });
      pax = {};
      longName = undefined;
      longLink = undefined;
    }
  }
}

async function* oneEntry(source: ByteSource, header: TarHeader): AsyncGenerator<TarEntry> {
  const type = types[header.typeflag];
  if (type === undefined) throw malformedTar(`it has an entry of the unknown type ${JSON.stringify(header.typeflag)}`);
  const { name, linkName, mode } = header;
  // Version 7 has no type for folders; the slash tells.
  const isFolder = type === "directory" || (header.typeflag === "\0" && name.at(-1) === 0x2f);
  // Others than files have no content, whatever their size says: the rule of Go's archive/tar, which engines unpack by.
  const size = type === "file" ? header.size : 0;
  let left = size;
  async function* content(): AsyncGenerator<Uint8Array> {
    while (left > 0) {
      const chunk = await source.next(Math.min(left, MAX_CHUNK_BYTES));
      if (chunk === undefined) throw malformedTar("it ends early");
      left -= chunk.length;
      yield chunk;
    }
  }
  yield { type: isFolder ? "directory" : type, name, linkName, mode, size, content: content() };
  for await (const _ of content());
  await skipPadding(source, size);
}

async function nextHeader(source: ByteSource): Promise<TarHeader | undefined> {
  const block = await source.take(TAR_BLOCK);
  if (block.length === 0) return undefined;
  if (block.some((byte) => byte !== 0)) return parseTarHeader(block);
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
