import { PimsError } from "../core/errors.ts";
import { assembleBaseline } from "./assemble.ts";
import type { ImageLimits } from "./limits.ts";
import type { Baseline } from "./lines.ts";
import { portText } from "./schema.ts";
import { readTree } from "./tree.ts";
import { treeDigest } from "./tree-digest.ts";

export interface FolderSource {
  /** The folder that is `/` inside the container. */
  readonly root: string;
  readonly name: string;
  /** `tcp/80` */
  readonly ports?: readonly string[];
  readonly entrypoint?: readonly string[];
  /** Paths of files that count as scripts, though nothing about them says so. */
  readonly listed?: readonly string[] | undefined;
  readonly limits?: Partial<ImageLimits>;
}

/**
 * Builds a baseline from a root file system. Its identity is the digest over the tree (tree-digest.ts). Throws
 * `image-unreadable` where anything in it cannot be read, `image-too-large`, and `bad-port`.
 */
export async function buildFromFolder({
  root,
  name,
  ports = [],
  entrypoint = [],
  listed,
  limits,
}: FolderSource): Promise<Baseline> {
  const badPort = ports.find((port) => !portText.safeParse(port).success);
  if (badPort !== undefined) {
    throw new PimsError("bad-port", `${JSON.stringify(badPort)} is not a port`, { hint: "write it like tcp/80" });
  }
  const files = await readTree(root, limits);
  return assembleBaseline({ identity: treeDigest(files), name, ports, entrypoint, listed }, files);
}
