import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { MAX_DOCUMENT_BYTES, orUnresolved, unresolved } from "./image-identity.ts";
import { readBounded } from "./read-bounded.ts";
import type { ContainerInfo, Runtime } from "./types.ts";

const GRAPH_ROOT = "/var/lib/containers/storage";
const CONFIGURATION = "/etc/containers/storage.conf";
const MAX_CONTAINERS_BYTES = 16 << 20;

const containersShape = z.array(
  z.object({
    id: z.string(),
    names: z.array(z.string()).nullish(),
    /** Id of the image: the digest of its configuration. */
    image: z.string().nullish(),
    metadata: z.string().nullish(),
  }),
);
const metadataShape = z.object({ "image-name": z.string().nullish() });

/**
 * A container of root's Podman or of CRI-O by what both keep on disk (containers/storage): they themselves answer only when
 * they have started it. The configuration that is kept must have the digest that names the image. Throws
 * `container-state`.
 */
export async function inspectStoredContainer(runtime: Runtime, id: string): Promise<ContainerInfo> {
  const root = await graphRoot();
  const drivers = (await readdir(root).catch(() => [])).filter((name) => /^[a-z0-9]+-containers$/.test(name));
  for (const folder of drivers) {
    const found = (await readContainers(join(root, folder, "containers.json"))).find((one) => one.id === id);
    if (found === undefined) continue;
    const [name = id.slice(0, 12)] = found.names ?? [];
    const imageName = metadataShape.safeParse(parseJson(found.metadata ?? "")).data?.["image-name"] ?? null;
    const images = join(root, folder.replace(/-containers$/, "-images"));
    const { image: imageId } = found;
    const identified = imageId ? await orUnresolved(() => verifyIdentity(images, imageId)) : { image: null };
    return { runtime, id, name, imageName, labels: {}, ...identified };
  }
  const unresolved = `there is no container ${id.slice(0, 64)} below ${root}: those of other users are not read`;
  return { runtime, id, name: id.slice(0, 12), image: null, imageName: null, labels: {}, unresolved };
}

/** Where the containers are kept: by the file that CONTAINERS_STORAGE_CONF names, as for Podman itself. */
async function graphRoot(): Promise<string> {
  const bytes = await readBounded(process.env.CONTAINERS_STORAGE_CONF ?? CONFIGURATION, 1 << 20);
  const text = bytes === null ? "" : Buffer.from(bytes).toString("utf8");
  return /^\s*graphroot\s*=\s*"([^"\n]+)"/m.exec(text)?.[1] ?? GRAPH_ROOT;
}

async function readContainers(path: string): Promise<z.infer<typeof containersShape>> {
  const bytes = await readBounded(path, MAX_CONTAINERS_BYTES);
  if (bytes === null) return [];
  const parsed = containersShape.safeParse(parseJson(Buffer.from(bytes).toString("utf8")));
  if (parsed.success) return parsed.data;
  throw new PimsError("container-state", `${path} has an unknown form`);
}

/** Big data is kept below the image's id, in files that are called by "=" and the base64 of its key. */
async function verifyIdentity(images: string, id: string): Promise<string> {
  const identity = `sha256:${id}`;
  if (!/^[0-9a-f]{64}$/.test(id)) throw unresolved(JSON.stringify(id.slice(0, 80)), "that is no digest");
  const file = join(images, id, `=${Buffer.from(identity).toString("base64")}`);
  const bytes = await readBounded(file, MAX_DOCUMENT_BYTES);
  if (bytes === null) throw unresolved(identity, "its configuration is not kept any more");
  if (sha256Hex(bytes) !== id) throw unresolved(identity, "what is kept as its configuration has another digest");
  return identity;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
