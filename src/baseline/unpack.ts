import { once } from "node:events";
import type { Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { PimsError } from "../core/errors.ts";
import { byteSource } from "./byte-source.ts";
import { latin1, malformedTar } from "./tar-header.ts";
import { isZstd, nextZstdFrame } from "./zstd-frames.ts";

export type Compression = "gzip" | "zstd";

const engineSettings = { chunkSize: 128 * 1024 };

/** How bytes that start like this are compressed: gzip (RFC 1952), Zstandard (RFC 8878), or not at all. */
export function compressionOf(start: Uint8Array): Compression | null {
  if (latin1(start.subarray(0, 2)) === "\x1f\x8b") return "gzip";
  return isZstd(start) ? "zstd" : null;
}

/**
 * The bytes uncompressed. Several gzip members or Zstandard frames in a row are one stream, as eStargz and zstd:chunked
 * layers are made. When it is done, or was told to be, nothing reads from `packed` any more. Throws `image-malformed` for
 * damaged ones, and whatever `packed` throws.
 */
export async function* unpack(compression: Compression, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (compression === "gzip") return yield* through(createGunzip(engineSettings), packed);
  const source = byteSource(packed);
  // Node's own decompressor takes the end of the first frame for the end of all.
  for (let frame = await nextZstdFrame(source); frame !== undefined; frame = await nextZstdFrame(source))
    yield* through(createZstdDecompress(engineSettings), frame);
}

async function* through(engine: Transform, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const fed = feed(engine, packed);
  try {
    yield* engine as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    throw malformedTar("it cannot be decompressed", cause);
  } finally {
    engine.destroy();
    await fed;
  }
}

/** Ends only when it reads nothing any more. Errors are the engine's. */
async function feed(engine: Transform, packed: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const chunk of packed) {
      if (engine.destroyed) return;
      if (!engine.write(chunk)) await drained(engine);
    }
    engine.end();
  } catch (error) {
    engine.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

async function drained(engine: Transform): Promise<void> {
  if (engine.destroyed) return;
  const stop = new AbortController();
  const { signal } = stop;
  await Promise.race([once(engine, "drain", { signal }), once(engine, "close", { signal })]).catch(() => undefined);
  stop.abort();
}
