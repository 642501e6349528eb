import { inspectContainer } from "../container/docker.ts";
import { inspectRuncContainer } from "../container/runc.ts";
import type { ContainerInfo, ContainerRef } from "../container/types.ts";
import { PimsError } from "../core/errors.ts";

/**
 * What the runtime says about a container: name, image, labels. When it does not answer, the id must do, and the image
 * is not known.
 */
export async function nameContainer(container: ContainerRef): Promise<ContainerInfo> {
  try {
    if (container.runtime === "docker") return await inspectContainer(container.id);
    if (container.runtime === "runc") return await inspectRuncContainer(container.id);
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
  }
  return { ...container, name: container.id.slice(0, 12), image: null, imageName: null, labels: {} };
}
