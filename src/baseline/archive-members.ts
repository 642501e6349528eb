import { pipeline, Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { PimsError } from "../core/errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { type Layer, readLayer } from "./layer.ts";
import { layerPath } from "./layer-path.ts";
import type { Budget } from "./limits.ts";
import { readTar, type TarEntry } from "./tar.ts";
import { hasChecksum, latin1, malformedTar, TAR_BLOCK } from "./tar-header.ts";

/** Most bytes of a configuration or another JSON member, and of all of them together. */
const MAX_BLOB_BYTES = 4 * 1024 * 1024;
const MAX_BLOBS_BYTES = 64 * 1024 * 1024;

export type ArchiveMember =
  | { readonly type: "blob"; readonly bytes: Uint8Array }
  | ({ readonly type: "layer" } & Layer)
  | { readonly type: "link"; readonly target: string };

/**
 * Reads what an image archive holds, by name, in one pass. Only the manifest tells configurations from layers, and it
 * comes last in the archives of some engines; so what looks like a layer is read as one.
 */
export async function readMembers(source: ByteSource, budget: Budget): Promise<Map<string, ArchiveMember>> {
  const members = new Map<string, ArchiveMember>();
  let blobBytes = 0;
  for await (const entry of readTar(source)) {
    budget.file(0);
    const name = layerPath(entry.name).join("/");
    const member = await readMember(entry, budget);
    if (member === undefined) continue;
    if (members.has(name)) throw malformedTar("it has two files of the same name");
    if (member.type === "blob") blobBytes += member.bytes.length;
    if (blobBytes > MAX_BLOBS_BYTES) throw malformedTar("it has too much that is no layer");
    members.set(name, member);
  }
  return members;
}

async function readMember(entry: TarEntry, budget: Budget): Promise<ArchiveMember | undefined> {
  if (entry.type === "link") return { type: "link", target: latin1(entry.linkName) };
  if (entry.type !== "file") return undefined;
  const chunks = entry.content[Symbol.asyncIterator]();
  const start = await gather(chunks, TAR_BLOCK);
  const whole = chain(start, chunks);
  const unpack = unpacker(start);
  if (unpack !== undefined) return { type: "layer", ...(await readLayer(unpack(whole), budget)) };
  if (looksLikeTar(start)) return { type: "layer", ...(await readLayer(whole, budget)) };
  if (entry.size > MAX_BLOB_BYTES) return undefined;
  return { type: "blob", bytes: await gather(whole, Number.POSITIVE_INFINITY) };
}

function looksLikeTar(start: Uint8Array): boolean {
  if (start.length < TAR_BLOCK) return false;
  const block = start.subarray(0, TAR_BLOCK);
  return hasChecksum(block) || block.every((byte) => byte === 0);
}

type Unpack = (packed: AsyncIterable<Uint8Array>) => AsyncIterable<unknown>;

/** Layers are compressed as gzip (RFC 1952) or Zstandard (RFC 8878), if at all. */
function unpacker(start: Uint8Array): Unpack | undefined {
  const magic = latin1(start.subarray(0, 4));
  if (magic.startsWith("\x1f\x8b")) return (packed) => unpackedBy(createGunzip(), packed);
  if (magic === "\x28\xb5\x2f\xfd") return (packed) => unpackedBy(createZstdDecompress(), packed);
  return undefined;
}

async function* unpackedBy(
  engine: ReturnType<typeof createGunzip>,
  packed: AsyncIterable<Uint8Array>,
): AsyncGenerator<unknown> {
  pipeline(Readable.from(packed), engine, () => {});
  try {
    yield* engine;
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    throw malformedTar("a layer cannot be decompressed", cause);
  }
}

async function gather(chunks: AsyncIterator<Uint8Array>, length: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for (let have = 0; have < length; ) {
    const { done, value } = await chunks.next();
    if (done) break;
    pieces.push(value);
    have += value.length;
  }
  return Buffer.concat(pieces);
}

async function* chain(start: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield start;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}
