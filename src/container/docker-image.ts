import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { Recent } from "../core/recent.ts";
import { containerdAddresses, contentOf } from "./ctr.ts";
import { type DockerAddress, dockerAddress, dockerJson } from "./docker-http.ts";
import { identifyImage, unresolved } from "./image-identity.ts";

/** Where a Docker Engine that keeps images in containerd has them. */
const NAMESPACE = "moby";

const infoShape = z.object({ DriverStatus: z.array(z.array(z.string())).nullish() });

/** Identities by digest: what has been resolved is so for good. */
const known = new Recent<string>({ max: 1024, idleMs: Number.POSITIVE_INFINITY });

/**
 * The identity of an image that a Docker Engine names by a digest. An engine that keeps images itself names them by their
 * configuration; one that keeps them in containerd by a manifest or an index, which are read there. Throws
 * `image-unresolved`, `tool-missing`, and `docker-unreachable`, `containerd-silent`, `containerd-failed` for what may be
 * answered later.
 */
export async function identifyDockerImage(digest: string, address: DockerAddress = dockerAddress()): Promise<string> {
  const before = known.get(digest, 0);
  if (before !== undefined) return before;
  const identity = (await keepsInContainerd(address)) ? await readIdentity(digest) : digest;
  known.set(digest, identity, 0);
  return identity;
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
export async function readIdentity(digest: string): Promise<string> {
  let unknown = unresolved(digest, "no containerd is on this machine");
  let failure: PimsError | null = null;
  for (const address of await containerdAddresses())
    try {
      return (await identifyImage(digest, contentOf({ address, namespace: NAMESPACE }))).identity;
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      if (error.code === "image-unresolved") unknown = error;
      else failure ??= error;
    }
  throw failure ?? unknown;
}
