import { PimsError } from "../core/errors.ts";
import type { Layer } from "./layer.ts";
import { type FolderNode, mergeLayer, newFolder } from "./layer-tree.ts";
import { type ImageLimits, startBudget } from "./limits.ts";

/**
 * The file system that layers make, lowest first. Each has to be the one that the image's configuration names by the
 * digest of its uncompressed bytes. Throws `image-malformed`, `image-too-large`, and whatever a layer throws.
 */
export async function applyLayers(
  layers: readonly (() => Layer | Promise<Layer>)[],
  diffIds: readonly string[],
  limits?: Partial<ImageLimits>,
): Promise<FolderNode> {
  if (layers.length !== diffIds.length) {
    throw new PimsError("image-malformed", `the image has ${layers.length} layers and should have ${diffIds.length}`);
  }
  const root = newFolder();
  // A layer may be there many times: it is read once, and put over the others each time.
  const budget = startBudget(limits);
  for (const [index, read] of layers.entries()) {
    const layer = await read();
    if (layer.diffId !== diffIds[index]) {
      throw new PimsError(
        "image-malformed",
        `layer ${index + 1} of the image is not the one that its configuration names`,
      );
    }
    mergeLayer(root, layer.top, () => budget.file(0));
  }
  return root;
}
