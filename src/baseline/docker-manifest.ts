import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { exactObject } from "../core/read-json.ts";
import { type ArchiveBlobs, pathOf } from "./archive-blobs.ts";
import { type ImageConfig, parseImageConfig, parseJson } from "./image-config.ts";
import type { Layer } from "./layer.ts";
import { ambiguous, MAX_LAYERS, type Wanted } from "./oci-image.ts";
import { platformMatches } from "./platform.ts";

const MAX_IMAGES = 256;

const manifestShape = z
  .array(
    exactObject({
      Config: z.string(),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z.array(z.string()).max(MAX_LAYERS).nullish(),
    }),
  )
  .max(MAX_IMAGES);

/**
 * The image that is meant in an archive of Docker's own form: `manifest.json` names configuration and layers by their
 * place in the archive. Where such a place has a digest in its name, what is there has that digest. Throws
 * `image-malformed` and `image-ambiguous`.
 */
export function findDockerImage(
  blobs: ArchiveBlobs,
  manifest: Uint8Array,
  wanted: Wanted = {},
): { readonly config: ImageConfig; readonly layers: readonly (() => Layer)[]; readonly names: readonly string[] } {
  const images = parseJson(manifest, manifestShape, "manifest").map(({ Config, RepoTags, Layers }) => {
    const bytes = blobs.documentAt(Config);
    if (bytes === undefined) throw new PimsError("image-malformed", `the archive has no ${JSON.stringify(Config)}`);
    const config = parseImageConfig(bytes);
    const named = /[0-9a-f]{64}/.exec(Config)?.[0];
    if (named !== undefined && config.identity !== `sha256:${named}`)
      throw new PimsError("image-malformed", "the image's configuration is not the one that its digest names");
    return { config, names: RepoTags ?? [], layers: (Layers ?? []).map((name) => () => blobs.layerAt(pathOf(name))) };
  });
  const chosen = images.filter(
    ({ config, names }) =>
      (wanted.image === undefined || config.identity === wanted.image || names.includes(wanted.image)) &&
      (wanted.platform === undefined || platformMatches(wanted.platform, config.platform)),
  );
  if (chosen.length === 1) return chosen[0]!;
  throw ambiguous(
    images.length,
    images.map(({ config, names }) => `${names[0] ?? config.identity} (${config.platform})`),
  );
}
