import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { Recent } from "../core/recent.ts";
import { containerdAddresses, contentOf } from "./ctr.ts";
import { inspectImage } from "./docker.ts";
import { type DockerAddress, dockerAddress, dockerJson } from "./docker-http.ts";
import { type IdentifiedImage, identifyImage, unresolved } from "./image-identity.ts";

/** Where a Docker Engine that keeps images in containerd has them. */
const NAMESPACE = "moby";

const infoShape = z.object({ DriverStatus: z.array(z.array(z.string())).nullish() });

/** Identities by digest: what has been resolved is so for good. */
const known = new Recent<string>({ max: 1024, idleMs: Number.POSITIVE_INFINITY });

/**
 * The identity of the image that a container was made of, which a Docker Engine names by a digest. An engine that keeps
 * images itself names them by their configuration; one that keeps them in containerd by a manifest or an index, which are
 * read there. Such an engine tells also the `manifest` of which it made the container; where it does not, the image
 * that its digest leads to must have the layers that the engine says it has. Throws
 * `image-unresolved`, `tool-missing`, and `docker-unreachable`, `containerd-silent`, `containerd-failed` for what may be
 * answered later.
 */
export async function identifyDockerImage(
  { image, manifest }: { readonly image: string; readonly manifest?: string | undefined },
  address: DockerAddress = dockerAddress(),
): Promise<string> {
  const digest = manifest ?? image;
  const before = known.get(digest, 0);
  if (before !== undefined) return before;
  const identity = (await keepsInContainerd(address)) ? await identityInContainerd(image, manifest, address) : image;
  known.set(digest, identity, 0);
  return identity;
}

async function identityInContainerd(
  image: string,
  manifest: string | undefined,
  address: DockerAddress,
): Promise<string> {
  const found = await readIdentity(manifest ?? image);
  if (manifest === undefined) requireLayers(image, found, await layersOf(image, address));
  return found.identity;
}

async function keepsInContainerd(address: DockerAddress): Promise<boolean> {
  const answer = await dockerJson(address, { method: "GET", path: "/info", timeoutMs: 5000 });
  const status = infoShape.safeParse(answer).data?.DriverStatus ?? [];
  return status.some(([name, value]) => name === "driver-type" && value?.startsWith("io.containerd.snapshotter"));
}

/**
 * From whichever containerd has it. That none has it is known only when each has answered: otherwise it throws what the
 * silent one did. Exported for tests.
 */
export async function readIdentity(digest: string): Promise<IdentifiedImage> {
  let unknown = unresolved(digest, "no containerd is on this machine");
  let failure: PimsError | null = null;
  for (const address of await containerdAddresses())
    try {
      return await identifyImage(digest, contentOf({ address, namespace: NAMESPACE }));
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      if (error.code === "image-unresolved") unknown = error;
      else failure ??= error;
    }
  throw failure ?? unknown;
}

/** Null where the engine does not have the image any more, or does not tell. */
async function layersOf(image: string, address: DockerAddress): Promise<readonly string[] | null> {
  try {
    return (await inspectImage(image, address)).layers;
  } catch (error) {
    if (error instanceof PimsError && error.code === "image-not-found") return null;
    throw error;
  }
}

/** Throws `image-unresolved` where the engine reads the same documents as another image. Exported for tests. */
export function requireLayers(digest: string, { diffIds }: IdentifiedImage, told: readonly string[] | null): void {
  if (told !== null && JSON.stringify(told) !== JSON.stringify(diffIds))
    throw unresolved(digest, "its engine says that the image has other layers than the one that its digest leads to");
}
