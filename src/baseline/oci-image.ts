import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { exactObject } from "../core/read-json.ts";
import { type Descriptor, descriptorShape, type ImageBlobs } from "./image-blobs.ts";
import { type ImageConfig, parseImageConfig, parseJson } from "./image-config.ts";
import { platformMatches, platformText } from "./platform.ts";

/** Bounds on what is read before anything is known; engines stop at 127 layers or a few more. */
const MAX_DOCUMENTS = 1024;
const MAX_DEPTH = 8;
export const MAX_LAYERS = 512;

/** Which image is meant, where there are several. */
export interface Wanted {
  /** A name, or the digest of an index, a manifest or a configuration as `sha256:…`. */
  readonly image?: string | undefined;
  /** `linux/amd64` */
  readonly platform?: string | undefined;
}

export interface FoundImage {
  readonly config: ImageConfig;
  readonly layers: readonly Descriptor[];
  /** What people call it; the first is what it is shown as. */
  readonly names: readonly string[];
  /** Digests that lead to it, besides the one of its configuration: its manifest's, and those of indexes that list it. */
  readonly aliases: readonly string[];
}

const manifests = z.array(descriptorShape).max(MAX_DOCUMENTS);
const none = z.undefined().optional();
const topShape = exactObject({ manifests });
/** What is both at once could be read as one by one program and as the other by another. */
const indexShape = exactObject({ manifests, config: none, layers: none });
const manifestShape = exactObject({
  config: descriptorShape,
  layers: z.array(descriptorShape).max(MAX_LAYERS),
  manifests: none,
});
const documentShape = z.union([indexShape, manifestShape]);

const CONFIG_TYPES: readonly unknown[] = [
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
  undefined,
  null,
];

/** A manifest, with what is known about it from the way that led there. */
interface Leaf {
  readonly manifest: z.infer<typeof manifestShape>;
  readonly platform: string | undefined;
  readonly names: readonly string[];
  readonly aliases: readonly string[];
}

/**
 * The image that is meant, by the index of a layout (OCI image specification, "Image Layout"): `index.json`. Indexes in
 * it are followed; manifests that are not there are those of other platforms. Throws `image-malformed`, and
 * `image-ambiguous` unless exactly one is left, which is so whatever machine this is: no platform is taken by itself.
 */
export async function findOciImage(blobs: ImageBlobs, index: Uint8Array, wanted: Wanted = {}): Promise<FoundImage> {
  const leaves: Leaf[] = [];
  const reading = { blobs, leaves, documents: 0 };
  for (const descriptor of parseJson(index, topShape, "index").manifests)
    await gather(reading, descriptor, { names: [], aliases: [], depth: 0 });
  const images: FoundImage[] = [];
  for (const leaf of leaves) if (isMeant(leaf, wanted)) images.push(await imageOf(blobs, leaf));
  const meant = images.filter(
    ({ config }) => wanted.platform === undefined || platformMatches(wanted.platform, config.platform),
  );
  const distinct = mergeSame(meant);
  if (distinct.length === 1) return distinct[0]!;
  throw ambiguous(
    leaves.length,
    distinct.map(({ names, config }) => `${names[0] ?? config.identity} (${config.platform})`),
  );
}

export function ambiguous(count: number, choices: readonly string[]): PimsError {
  return new PimsError("image-ambiguous", `there are ${count} images in it, and not one that is meant`, {
    hint:
      choices.length === 0
        ? "none has the wanted name, digest or platform"
        : `choose by --image and --platform one of ${choices.slice(0, 20).join(", ")}`,
  });
}

async function gather(
  reading: { readonly blobs: ImageBlobs; readonly leaves: Leaf[]; documents: number },
  descriptor: Descriptor,
  way: { readonly names: readonly string[]; readonly aliases: readonly string[]; readonly depth: number },
): Promise<void> {
  reading.documents += 1;
  if (way.depth > MAX_DEPTH || reading.documents > MAX_DOCUMENTS)
    throw new PimsError("image-too-large", "the image's index has too many parts");
  const { platform } = descriptor;
  // What builders say about how an image was made is kept beside it, as if it were of this platform.
  if (platform?.os === "unknown") return;
  const bytes = await reading.blobs.document(descriptor);
  if (bytes === undefined) return;
  const document = parseJson(bytes, documentShape, "manifest");
  const names = [...way.names, ...namesIn(descriptor.annotations ?? {})];
  const aliases = [...way.aliases, descriptor.digest];
  if (document.config !== undefined) {
    // Signatures, charts and other artifacts are kept in layouts like images.
    if (!CONFIG_TYPES.includes(document.config.mediaType)) return;
    const known = platform?.architecture ? platformText(platform) : undefined;
    reading.leaves.push({ manifest: document, platform: known, names, aliases });
  } else {
    for (const inner of document.manifests) await gather(reading, inner, { names, aliases, depth: way.depth + 1 });
  }
}

function isMeant({ manifest, platform, names, aliases }: Leaf, wanted: Wanted): boolean {
  const { image } = wanted;
  if (wanted.platform !== undefined && platform !== undefined && !platformMatches(wanted.platform, platform))
    return false;
  return image === undefined || [...names, ...aliases, manifest.config.digest].includes(image);
}

async function imageOf(blobs: ImageBlobs, { manifest, names, aliases }: Leaf): Promise<FoundImage> {
  const bytes = await blobs.document(manifest.config);
  if (bytes === undefined)
    throw new PimsError("image-malformed", `the image's configuration ${manifest.config.digest} is not there`);
  return { config: parseImageConfig(bytes), layers: manifest.layers, names, aliases };
}

/** One image may be listed under several names, and in several manifests. */
function mergeSame(images: readonly FoundImage[]): FoundImage[] {
  const groups = Map.groupBy(images, ({ config }) => config.identity).values();
  return [...groups].map((group) => ({
    ...group[0]!,
    names: [...new Set(group.flatMap(({ names }) => names))],
    aliases: [...new Set(group.flatMap(({ aliases }) => aliases))].sort(),
  }));
}

/** containerd writes whole names, `docker.io/library/web:1`, Docker itself `web:1`; the specification's may be a mere tag. */
function namesIn(annotations: Readonly<Record<string, string>>): string[] {
  const whole = annotations["io.containerd.image.name"];
  const name = annotations["org.opencontainers.image.ref.name"];
  const short = whole?.replace(/^docker\.io\/(library\/)?/, "");
  return [...new Set([short, whole, name].filter((text) => text !== undefined && text !== ""))] as string[];
}
