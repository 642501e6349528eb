import { posix } from "node:path";
import { z } from "zod";
import { errorCode, PimsError } from "../core/errors.ts";
import { type ArchiveMember, readMembers } from "./archive-members.ts";
import { assembleBaseline } from "./assemble.ts";
import { byteSource } from "./byte-source.ts";
import { type ImageConfig, parseImageConfig, parseJson } from "./image-config.ts";
import type { Layer } from "./layer.ts";
import { type FolderNode, filesOf, mergeLayer, newFolder } from "./layer-tree.ts";
import { type ImageLimits, startBudget } from "./limits.ts";
import type { Baseline } from "./lines.ts";

export interface ArchiveOptions {
  /** Instead of the image's first tag. */
  readonly name?: string;
  /** Which image of several: a tag, or the digest of its configuration as `sha256:…`. */
  readonly image?: string;
  readonly limits?: Partial<ImageLimits>;
}

/** Bounds on what is read again and again; engines stop at 127 layers or a few more. */
const MAX_IMAGES = 256;
const MAX_LAYERS = 512;

const manifestShape = z
  .array(
    z.object({
      Config: z.string(),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z.array(z.string()).max(MAX_LAYERS).nullish(),
    }),
  )
  .max(MAX_IMAGES);

type Manifest = z.infer<typeof manifestShape>[number];
type Members = ReadonlyMap<string, ArchiveMember>;

/**
 * Builds a baseline from what `docker save` writes (all versions; Podman's docker-archive too), as it comes, in one
 * pass. Its identity is the digest of the image's configuration, and the configuration's digests of the layers are
 * checked. Throws `image-malformed`, `image-too-large`, `image-unreadable` when the stream fails, and
 * `image-ambiguous` when the archive holds several images and `options.image` does not say which. Always ends the stream.
 */
export async function buildFromDockerArchive(
  archive: AsyncIterable<unknown>,
  options: ArchiveOptions = {},
): Promise<Baseline> {
  const source = byteSource(readable(archive));
  try {
    const members = await readMembers(source, startBudget(options.limits));
    const { manifest, config } = chooseImage(members, options.image);
    const name = options.name ?? manifest.RepoTags?.[0] ?? config.identity;
    return assembleBaseline({ ...config, name }, filesOf(applyLayers(members, manifest, config)));
  } finally {
    await source.close();
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

function chooseImage(members: Members, wanted: string | undefined): { manifest: Manifest; config: ImageConfig } {
  const bytes = blob(members, "manifest.json");
  const images = parseJson(bytes, manifestShape, "manifest").map((manifest) => {
    const config = parseImageConfig(blob(members, manifest.Config));
    const named = /[0-9a-f]{64}/.exec(manifest.Config)?.[0];
    if (named !== undefined && config.identity !== `sha256:${named}`) {
      throw new PimsError("image-malformed", "the image's configuration is not the one that its digest names");
    }
    return { manifest, config };
  });
  const chosen = images.filter(
    ({ manifest, config }) =>
      wanted === undefined || config.identity === wanted || manifest.RepoTags?.includes(wanted) === true,
  );
  if (chosen.length === 1) return chosen[0]!;
  const names = images.map(({ manifest, config }) => manifest.RepoTags?.[0] ?? config.identity).slice(0, 20);
  throw new PimsError("image-ambiguous", `the archive holds ${images.length} images, and not one that is meant`, {
    hint: `name one of ${names.join(", ") || "none"}`,
  });
}

function applyLayers(members: Members, { Layers }: Manifest, { diffIds }: ImageConfig): FolderNode {
  const names = Layers ?? [];
  if (names.length !== diffIds.length) {
    throw new PimsError("image-malformed", `the image has ${names.length} layers and should have ${diffIds.length}`);
  }
  const root = newFolder();
  for (const [index, name] of names.entries()) {
    const layer = layerNamed(members, name);
    if (layer.diffId !== diffIds[index]) {
      throw new PimsError(
        "image-malformed",
        `layer ${index + 1} of the image is not the one that its configuration names`,
      );
    }
    mergeLayer(root, layer.top);
  }
  return root;
}

function blob(members: Members, name: string): Uint8Array {
  const member = members.get(name);
  if (member?.type === "blob") return member.bytes;
  throw new PimsError("image-malformed", `the archive has no ${JSON.stringify(name)}`, {
    hint: "write it with docker save",
  });
}

/** Docker writes a layer that several images have once, and symbolic links to it. */
function layerNamed(members: Members, name: string): Layer {
  let at = posix.normalize(name);
  for (let hops = 0; hops < 8; hops++) {
    const member = members.get(at);
    if (member?.type === "layer") return member;
    if (member?.type !== "link") break;
    at = posix.join(posix.dirname(at), member.target);
  }
  throw new PimsError("image-malformed", `the archive has no layer ${JSON.stringify(name)}`);
}
