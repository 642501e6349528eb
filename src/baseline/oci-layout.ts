import { constants, createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { sha256Hex } from "../core/digest.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { blobPath } from "./archive-blobs.ts";
import { readStoredLayer } from "./archive-members.ts";
import { type BuildOptions, type BuiltImage, buildFromOciImage } from "./built-image.ts";
import { checkBlob, type Descriptor, type ImageBlobs, MAX_DOCUMENT_BYTES } from "./image-blobs.ts";
import type { Layer } from "./layer.ts";
import { startBudget } from "./limits.ts";
import { findOciImage } from "./oci-image.ts";

/**
 * Builds a baseline from an OCI layout in a folder (OCI image specification, "Image Layout"). The same holds as for
 * `buildFromArchive`; what of the folder the image does not need is not read.
 */
export async function buildFromOciLayout(folder: string, options: BuildOptions = {}): Promise<BuiltImage> {
  const index = await readDocument(join(folder, "index.json"));
  if (index === undefined)
    throw new PimsError("image-unreadable", `${folder} is no OCI layout: it has no index.json`, {
      hint: "a root file system is given by --rootfs, an archive by --archive",
    });
  const blobs = folderBlobs(folder, options);
  return buildFromOciImage(blobs, await findOciImage(blobs, index, options), options);
}

function folderBlobs(folder: string, { limits }: BuildOptions): ImageBlobs {
  const budget = startBudget(limits);
  const layers = new Map<string, Layer>();
  return {
    async document(descriptor) {
      const bytes = await readDocument(join(folder, blobPath(descriptor)));
      if (bytes === undefined) return undefined;
      checkBlob(descriptor, { sha256: sha256Hex(bytes), size: bytes.length });
      return bytes;
    },
    async layer(descriptor) {
      const known = layers.get(descriptor.digest);
      if (known !== undefined) return known;
      const layer = await readLayerFile(folder, descriptor, budget);
      layers.set(descriptor.digest, layer);
      return layer;
    },
  };
}

async function readLayerFile(
  folder: string,
  descriptor: Descriptor,
  budget: ReturnType<typeof startBudget>,
): Promise<Layer> {
  const path = join(folder, blobPath(descriptor));
  const file = await openBlob(path);
  if (file === undefined) throw new PimsError("image-malformed", `the image's layer ${descriptor.digest} is not there`);
  // Asked before anything is unpacked: a file of another size has another digest.
  const { size } = await file.stat();
  try {
    if (size !== descriptor.size) checkBlob(descriptor, { sha256: "", size });
    const content = createReadStream(path, { fd: file, autoClose: false, highWaterMark: 1024 * 1024 });
    const { layer, ...stored } = await readStoredLayer(content, budget);
    checkBlob(descriptor, stored);
    return layer;
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await file.close();
  }
}

async function readDocument(path: string): Promise<Uint8Array | undefined> {
  const file = await openBlob(path);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(Math.min((await file.stat()).size, MAX_DOCUMENT_BYTES) + 1);
    let length = 0;
    for (let got = 1; got > 0 && length < bytes.length; length += got)
      got = (await file.read(bytes, length, bytes.length - length, length)).bytesRead;
    if (length === bytes.length)
      throw new PimsError("image-too-large", `${path} is too large for a document, or grows`);
    return bytes.subarray(0, length);
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await file.close();
  }
}

/** A regular file, or undefined where there is none. Does not wait for a pipe's other end. */
async function openBlob(path: string): Promise<FileHandle | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
    throw new PimsError("image-unreadable", `${path} is no file`);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): PimsError {
  if (cause instanceof PimsError) return cause;
  const why =
    errorCode(cause) === "ENOTDIR" ? "is no folder" : `cannot be read (${errorCode(cause) ?? "unknown error"})`;
  return new PimsError("image-unreadable", `${path} ${why}`, { cause });
}
