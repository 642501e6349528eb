import { inspectContainer } from "../container/docker.ts";
import { inspectRuncContainer } from "../container/runc.ts";
import type { ContainerInfo, ContainerRef } from "../container/types.ts";
import { PimsError } from "../core/errors.ts";
import { MAX_IMAGE_NAME } from "../log/event.ts";
import { IDENTITY, MAX_NAME } from "../log/finding.ts";

/**
 * What the runtime says about a container: name, image, labels. When it does not answer, the id must do, and the image
 * is not known.
 */
export async function nameContainer(container: ContainerRef): Promise<ContainerInfo> {
  try {
    if (container.runtime === "docker") return bounded(await inspectContainer(container.id));
    if (container.runtime === "runc") return bounded(await inspectRuncContainer(container.id));
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
  }
  return { ...container, name: container.id.slice(0, 12), image: null, imageName: null, labels: {} };
}

/** Whoever makes a container chooses what its runtime tells: what the log has no room for is cut, a wrong identity is none. */
function bounded(info: ContainerInfo): ContainerInfo {
  return {
    ...info,
    name: info.name.slice(0, MAX_NAME),
    image: info.image !== null && IDENTITY.test(info.image) ? info.image : null,
    imageName: info.imageName?.slice(0, MAX_IMAGE_NAME) ?? null,
  };
}
