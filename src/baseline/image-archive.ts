import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { ArchiveBlobs } from "./archive-blobs.ts";
import { readMembers } from "./archive-members.ts";
import { type BuildOptions, type BuiltImage, buildFromDockerImage, buildFromOciImage } from "./built-image.ts";
import { type ByteSource, byteSource } from "./byte-source.ts";
import { findDockerImage } from "./docker-manifest.ts";
import { startBudget } from "./limits.ts";
import { findOciImage } from "./oci-image.ts";
import { compressionOf, unpack } from "./unpack.ts";

/**
 * Builds a baseline from an image archive as it comes, in one pass: an OCI layout as tar (`podman save --format
 * oci-archive`, `ctr image export`), or what `docker save` and Podman's docker-archive are; compressed or not. Its
 * identity is the digest of the image's configuration. Every blob is checked against its descriptor, and every layer
 * against the configuration. Throws `image-malformed`, `image-too-large`, `image-unreadable` when the stream fails, and
 * `image-ambiguous` when it holds several images and the options do not say which. Always ends the stream.
 */
export async function buildFromArchive(
  archive: AsyncIterable<unknown>,
  options: BuildOptions = {},
): Promise<BuiltImage> {
  const source = byteSource(readable(archive));
  let plain = source;
  try {
    plain = await uncompressed(source, options);
    const blobs = new ArchiveBlobs(await readMembers(plain, startBudget(options.limits)));
    const index = blobs.documentAt("index.json");
    if (index !== undefined) return await buildFromOciImage(blobs, await findOciImage(blobs, index, options), options);
    const manifest = blobs.documentAt("manifest.json");
    if (manifest !== undefined) return await buildFromDockerImage(findDockerImage(blobs, manifest, options), options);
    throw new PimsError("image-malformed", "the archive has neither an index.json nor a manifest.json", {
      hint: "write it with docker save, podman save or ctr image export; a root file system is given as a folder",
    });
  } finally {
    await plain.close();
    await source.close();
  }
}

/** `buildFromArchive` of a file. Throws `image-unreadable` also where there is no such file. */
export async function buildFromArchiveFile(path: string, options: BuildOptions = {}): Promise<BuiltImage> {
  const stats = await stat(path).catch((cause: unknown) => {
    const why = errorCode(cause) === "ENOENT" ? "does not exist" : `cannot be read (${errorCode(cause)})`;
    throw new PimsError("image-unreadable", `${path} ${why}`, { cause });
  });
  if (stats.isDirectory()) {
    throw new PimsError("image-unreadable", `${path} is a folder and no archive`, {
      hint: "an OCI layout is given by --oci, a root file system by --rootfs",
    });
  }
  return buildFromArchive(createReadStream(path, { highWaterMark: 1024 * 1024 }), options);
}

/** What is compressed as a whole may grow as large as its layers may. */
async function uncompressed(source: ByteSource, { limits }: BuildOptions): Promise<ByteSource> {
  const start = await source.take(512);
  const compression = compressionOf(start);
  if (compression === null) return byteSource(restOf(start, source));
  const budget = startBudget(limits);
  return byteSource(unpack(compression, restOf(start, source)), (bytes) => budget.bytes(bytes.length));
}

async function* restOf(start: Uint8Array, source: ByteSource): AsyncGenerator<Uint8Array> {
  yield start;
  for (;;) {
    const chunk = await source.next(1024 * 1024);
    if (chunk === undefined) return;
    yield chunk;
  }
}

async function* readable(archive: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* archive;
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    const text = `the image's archive cannot be read (${errorCode(cause) ?? "the stream ended"})`;
    throw new PimsError("image-unreadable", text, { cause });
  }
}
