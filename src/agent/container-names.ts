import { inspectContainer } from "../container/docker.ts";
import { inspectRuncContainer } from "../container/runc.ts";
import type { ContainerInfo, ContainerRef } from "../container/types.ts";
import { PimsError } from "../core/errors.ts";
import { MAX_IMAGE_NAME } from "../log/event.ts";
import { IDENTITY, MAX_NAME } from "../log/finding.ts";

/** What a runtime said about a container, and why it said no more. */
export interface RuntimeAnswer {
  readonly info: ContainerInfo;
  readonly problem: PimsError | null;
}

/**
 * What the runtime says about a container: name, image, labels. When it does not answer, the id must do, and the image
 * is not known. It is not asked where `problem` is known already.
 */
export async function askRuntime(container: ContainerRef, problem: PimsError | null = null): Promise<RuntimeAnswer> {
  const name = container.id.slice(0, 12);
  const unknown: ContainerInfo = { ...container, name, image: null, imageName: null, labels: {} };
  if (problem !== null) return { info: unknown, problem };
  try {
    if (container.runtime === "docker") return { info: bounded(await inspectContainer(container.id)), problem: null };
    if (container.runtime === "runc") return { info: bounded(await inspectRuncContainer(container.id)), problem: null };
    return { info: unknown, problem: null };
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    return { info: unknown, problem: error };
  }
}

/** `askRuntime` for whom the answer is enough. */
export async function nameContainer(container: ContainerRef): Promise<ContainerInfo> {
  return (await askRuntime(container)).info;
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
