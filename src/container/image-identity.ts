import { z } from "zod";
import { sha256Hex } from "../core/digest.ts";
import { describeError, PimsError } from "../core/errors.ts";
import { exactObject, readJson } from "../core/read-json.ts";
import { couldBeOurs, normalizePlatform } from "./image-platform.ts";
import type { ContainerInfo } from "./types.ts";

/** A blob of an engine's own store by its digest, null when it is not there. Not believed: whoever reads it hashes it. */
export type ReadContent = (digest: string) => Promise<Uint8Array | null>;

export interface IdentifiedImage {
  /** Digest of its configuration: what baselines are kept under. */
  readonly identity: string;
  /** Digests of its layers, uncompressed, the lowest first. */
  readonly diffIds: readonly string[];
}

/** A manifest or a configuration is some kilobytes; engines take none above this. */
export const MAX_DOCUMENT_BYTES = 4 << 20;
const MAX_DOCUMENTS = 256;
const MAX_DEPTH = 4;
/** Bound of reading them all: each may start a program, and whoever made the image says how many there are. */
const READ_MS = 10_000;

const digestShape = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const none = z.undefined().optional();
const platformShape = exactObject({ os: z.string().nullish(), architecture: z.string().nullish() }).nullish();
/** OCI image specification: an index, a manifest, a configuration; what is two of them at once is none. */
const indexShape = exactObject({
  manifests: z.array(exactObject({ digest: digestShape, platform: platformShape })).max(MAX_DOCUMENTS),
  config: none,
  layers: none,
  rootfs: none,
});
const manifestShape = exactObject({
  config: exactObject({ digest: digestShape }),
  layers: z.array(z.unknown()),
  manifests: none,
  rootfs: none,
});
const configShape = exactObject({
  rootfs: exactObject({ diff_ids: z.array(digestShape).max(512) }),
  manifests: none,
  layers: none,
});
const documentShape = z.union([indexShape, manifestShape, configShape]);

/**
 * The image that a digest leads to, whether it is that of an index, a manifest or a configuration: each document is read
 * from the engine and must have the digest that it was asked for by. Of an index counts the one image whose content is
 * there and that an engine on this machine may take, else the only one that is there. Which of several it takes depends
 * on their order, on variants and on its release, so then nothing is told. Throws `image-unresolved`.
 */
export async function identifyImage(digest: string, read: ReadContent): Promise<IdentifiedImage> {
  const reading = { read, documents: 0, origin: digest, untilMs: performance.now() + READ_MS };
  const found = await follow(reading, digest, 0);
  if (found === null) throw unresolved(digest, `its content ${digest} is not there`);
  return found;
}

/** ChainID of layers (OCI image specification, config.md): what their engine calls the snapshot of all of them. */
export function chainId(diffIds: readonly string[]): string {
  return diffIds.reduce((chain, diffId) => (chain === "" ? diffId : `sha256:${sha256Hex(`${chain} ${diffId}`)}`), "");
}

export function unresolved(digest: string, why: string): PimsError {
  return new PimsError("image-unresolved", `which image ${digest} is cannot be told: ${why}`, {
    hint: "a baseline is kept under the digest of the image's configuration, which 'pims baseline build' prints",
  });
}

/** What identifies an image, or why it could not be told: that is a fact of the host, which asking again does not change. */
export async function orUnresolved(
  identify: () => Promise<string>,
): Promise<Pick<ContainerInfo, "image" | "unresolved">> {
  try {
    return { image: await identify() };
  } catch (error) {
    if (!(error instanceof PimsError) || !["image-unresolved", "tool-missing"].includes(error.code)) throw error;
    return { image: null, unresolved: describeError(error) };
  }
}

interface Reading {
  readonly read: ReadContent;
  readonly origin: string;
  readonly untilMs: number;
  documents: number;
}

/** Null when the content is not there, as that of other platforms. */
async function follow(reading: Reading, digest: string, depth: number): Promise<IdentifiedImage | null> {
  reading.documents += 1;
  if (depth > MAX_DEPTH || reading.documents > MAX_DOCUMENTS) throw unresolved(reading.origin, "it has too many parts");
  if (performance.now() > reading.untilMs)
    throw unresolved(reading.origin, `its parts are not read within ${READ_MS / 1000} s`);
  const bytes = await reading.read(digest);
  if (bytes === null) return null;
  if (bytes.length > MAX_DOCUMENT_BYTES || digest !== `sha256:${sha256Hex(bytes)}`)
    throw unresolved(reading.origin, `its engine gave other content for ${digest}`);
  const json = readJson(bytes);
  if ("wrong" in json) throw unresolved(reading.origin, `${digest} ${json.wrong}`);
  const document = documentShape.safeParse(json.value).data;
  if (document === undefined) throw unresolved(reading.origin, `${digest} is no part of an image`);
  if ("rootfs" in document && document.rootfs !== undefined)
    return { identity: digest, diffIds: document.rootfs.diff_ids };
  if ("config" in document && document.config !== undefined) return follow(reading, document.config.digest, depth + 1);
  return choose(reading, (document as z.infer<typeof indexShape>).manifests, depth);
}

type Listed = z.infer<typeof indexShape>["manifests"];

async function choose(reading: Reading, listed: Listed, depth: number): Promise<IdentifiedImage | null> {
  // What builders say about how an image was made is kept beside it.
  const images = listed.filter(({ platform }) => normalizePlatform(platform ?? {}).os !== "unknown");
  const ours = images.filter(({ platform }) => couldBeOurs(platform));
  for (const some of [ours, images.filter((image) => !ours.includes(image))]) {
    const found = new Map<string, IdentifiedImage>();
    for (const { digest } of some) {
      const image = await follow(reading, digest, depth + 1);
      if (image !== null) found.set(image.identity, image);
    }
    if (found.size > 1) throw unresolved(reading.origin, "it leads to several images for this machine");
    for (const image of found.values()) return image;
  }
  return null;
}
