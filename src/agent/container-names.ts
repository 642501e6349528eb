import { inspectContainerdContainer } from "../container/containerd.ts";
import { inspectStoredContainer } from "../container/containers-storage.ts";
import { inspectContainer } from "../container/docker.ts";
import { identifyDockerImage } from "../container/docker-image.ts";
import { orUnresolved } from "../container/image-identity.ts";
import { inspectRuncContainer } from "../container/runc.ts";
import { type ContainerInfo, type ContainerRef, containerKey, type Runtime } from "../container/types.ts";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { Recent } from "../core/recent.ts";
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
    if (container.runtime === "containerd")
      return { info: bounded(await inspectContainerdContainer(container.id)), problem: null };
    return { info: bounded(await inspectStoredContainer(container.runtime, container.id)), problem: null };
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    return { info: unknown, problem: error };
  }
}

/** Whether its whole runtime is silent, so that others of it need not be asked about now: each would be waited for. */
export function isSilence(problem: PimsError | null): problem is PimsError {
  return problem !== null && ["docker-unreachable", "containerd-silent"].includes(problem.code);
}

/** How long a runtime that was silent is not asked about another container. */
const SILENT_MS = 2000;
/** A container that could not be named is not asked about again at once: each time may start a program. */
const AGAIN_MS = 10_000;
/** Nor one whose containerd refuses, which may be over soon. */
const REFUSED_MS = 1000;

/**
 * What runtimes say about containers, with the identity of the image in place of whatever digest an engine names it by.
 * `report` is told of each image that cannot be told.
 */
export class ContainerNames {
  readonly #report: (text: string) => void;
  readonly #said = new Recent<string>({ max: 1024, idleMs: Number.POSITIVE_INFINITY });
  readonly #unnamed = new Recent<{ readonly answer: RuntimeAnswer; readonly untilMs: number }>({
    max: 1024,
    idleMs: AGAIN_MS,
  });

  readonly #silent = new Map<Runtime, { readonly problem: PimsError; readonly untilMs: number }>();

  constructor(report: (text: string) => void) {
    this.#report = report;
  }

  async ask(container: ContainerRef): Promise<RuntimeAnswer> {
    const key = containerKey(container);
    const nowMs = performance.now();
    const before = this.#unnamed.get(key, nowMs);
    if (before !== undefined && nowMs < before.untilMs) return before.answer;
    const silent = this.#silent.get(container.runtime);
    const problem = silent !== undefined && nowMs < silent.untilMs ? silent.problem : null;
    const answer = await this.#identify(await askRuntime(container, problem));
    if (problem === null && isSilence(answer.problem))
      this.#silent.set(container.runtime, { problem: answer.problem, untilMs: performance.now() + SILENT_MS });
    const { unresolved } = answer.info;
    if (answer.problem?.code === "containerd-failed")
      this.#unnamed.set(key, { answer, untilMs: performance.now() + REFUSED_MS }, nowMs);
    if (unresolved === undefined) return answer;
    this.#unnamed.set(key, { answer, untilMs: nowMs + AGAIN_MS }, nowMs);
    if (this.#said.get(key, nowMs) !== unresolved)
      this.#report(`${printable(answer.info.name)}: ${printable(unresolved)}`);
    this.#said.set(key, unresolved, nowMs);
    return answer;
  }

  /** `ask` for whom the answer is enough. */
  async name(container: ContainerRef): Promise<ContainerInfo> {
    return (await this.ask(container)).info;
  }

  async #identify(answer: RuntimeAnswer): Promise<RuntimeAnswer> {
    const { info } = answer;
    const { image, manifest } = info;
    if (info.runtime !== "docker" || image === null) return answer;
    try {
      return {
        info: { ...info, ...(await orUnresolved(() => identifyDockerImage({ image, manifest }))) },
        problem: null,
      };
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      return { info: { ...info, image: null }, problem: error };
    }
  }
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
