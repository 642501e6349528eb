import { applyLayers } from "./apply-layers.ts";
import { assembleBaseline } from "./assemble.ts";
import type { ImageBlobs } from "./image-blobs.ts";
import type { ImageConfig } from "./image-config.ts";
import type { Layer } from "./layer.ts";
import { filesOf } from "./layer-tree.ts";
import type { ImageLimits } from "./limits.ts";
import type { Baseline } from "./lines.ts";
import type { FoundImage, Wanted } from "./oci-image.ts";

export interface BuildOptions extends Wanted {
  /** Instead of what the image is called where it was found. */
  readonly name?: string | undefined;
  /** Paths of files of the image that count as scripts, though nothing about them says so. */
  readonly listed?: readonly string[] | undefined;
  readonly limits?: Partial<ImageLimits> | undefined;
}

export interface BuiltImage {
  readonly baseline: Baseline;
  /**
   * Digests that led to the image where it was found, besides its identity: of its manifest and of indexes that list it.
   * The same image packed otherwise has others, so they are no part of the baseline.
   */
  readonly aliases: readonly string[];
}

export function buildFromOciImage(
  blobs: ImageBlobs,
  { config, layers, names, aliases }: FoundImage,
  options: BuildOptions,
): Promise<BuiltImage> {
  const reads = layers.map((descriptor) => () => blobs.layer(descriptor));
  return build({ config, layers: reads, names, aliases }, options);
}

export function buildFromDockerImage(image: Omit<ImageToBuild, "aliases">, options: BuildOptions): Promise<BuiltImage> {
  return build({ ...image, aliases: [] }, options);
}

interface ImageToBuild {
  readonly config: ImageConfig;
  readonly layers: readonly (() => Layer | Promise<Layer>)[];
  readonly names: readonly string[];
  readonly aliases: readonly string[];
}

async function build(
  { config, layers, names, aliases }: ImageToBuild,
  { name, listed, limits }: BuildOptions,
): Promise<BuiltImage> {
  const root = await applyLayers(layers, config.diffIds, limits);
  const facts = { ...config, name: name ?? names[0] ?? config.identity, listed };
  return { baseline: assembleBaseline(facts, filesOf(root)), aliases };
}
