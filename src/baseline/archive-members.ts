import { sha256Hex, sha256Stream } from "../core/digest.ts";
import { errorCode } from "../core/errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { MAX_DOCUMENT_BYTES } from "./image-blobs.ts";
import { type Layer, readLayer } from "./layer.ts";
import { layerPath } from "./layer-path.ts";
import type { Budget } from "./limits.ts";
import { readTar, type TarEntry } from "./tar.ts";
import { hasChecksum, latin1, malformedTar, TAR_BLOCK } from "./tar-header.ts";
import { compressionOf, unpack } from "./unpack.ts";

/** Most bytes of all JSON members together. */
const MAX_DOCUMENTS_BYTES = 64 * 1024 * 1024;

/** The bytes as they are in the archive. */
interface Stored {
  readonly sha256: string;
  readonly size: number;
}

export type ArchiveMember =
  | ({ readonly type: "document"; readonly bytes: Uint8Array } & Stored)
  | ({ readonly type: "layer"; readonly layer: Layer } & Stored)
  /** What looked like a layer and was none. Nobody may ask for it. */
  | { readonly type: "damaged"; readonly error: unknown }
  | { readonly type: "link"; readonly target: string };

/**
 * Reads what an image archive holds, by name, in one pass. Only the manifest tells configurations from layers, and it
 * comes last in the archives of some engines; so what looks like a layer is read as one.
 */
export async function readMembers(source: ByteSource, budget: Budget): Promise<Map<string, ArchiveMember>> {
  const members = new Map<string, ArchiveMember>();
  let documentBytes = 0;
  for await (const entry of readTar(source)) {
    budget.file(0);
    const name = layerPath(entry.name).join("/");
    const member = await readMember(entry, budget);
    if (member === undefined) continue;
    if (members.has(name)) throw malformedTar("it has two files of the same name");
    if (member.type === "document") documentBytes += member.size;
    if (documentBytes > MAX_DOCUMENTS_BYTES) throw malformedTar("it has too much that is no layer");
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
  if (looksLikeLayer(start)) return readLayerMember(whole, budget);
  if (entry.size > MAX_DOCUMENT_BYTES) return undefined;
  const bytes = await gather(whole, Number.POSITIVE_INFINITY);
  return { type: "document", bytes, sha256: sha256Hex(bytes), size: bytes.length };
}

async function readLayerMember(content: AsyncIterable<Uint8Array>, budget: Budget): Promise<ArchiveMember> {
  try {
    return { type: "layer", ...(await readStoredLayer(content, budget)) };
  } catch (error) {
    if (errorCode(error) === "image-malformed") return { type: "damaged", error };
    throw error;
  }
}

/** A layer, compressed or not, with the digest and size of what was stored. Throws `image-malformed`, `image-too-large`. */
export async function readStoredLayer(
  content: AsyncIterable<Uint8Array>,
  budget: Budget,
): Promise<Stored & { readonly layer: Layer }> {
  const chunks = content[Symbol.asyncIterator]();
  const start = await gather(chunks, TAR_BLOCK);
  const compression = compressionOf(start);
  if (compression === null) {
    const layer = await readLayer(chain(start, chunks), budget);
    return { layer, sha256: layer.diffId, size: layer.size };
  }
  const hash = sha256Stream();
  let size = 0;
  async function* stored(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chain(start, chunks)) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  const packed = stored();
  const layer = await readLayer(unpack(compression, chain(new Uint8Array(0), packed)), budget);
  // What a decompressor takes no notice of is a part of the blob all the same.
  for await (const _ of packed);
  return { layer, sha256: hash.hex(), size };
}

function looksLikeLayer(start: Uint8Array): boolean {
  if (compressionOf(start) !== null) return true;
  if (start.length < TAR_BLOCK) return false;
  const block = start.subarray(0, TAR_BLOCK);
  return hasChecksum(block) || block.every((byte) => byte === 0);
}

/** At least `length` bytes, or all there are. */
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
