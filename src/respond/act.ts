import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { promisify } from "node:util";
import { dockerAddress, dockerJson } from "../container/docker-http.ts";
import { ContainerFinder } from "../container/finder.ts";
import { type ContainerRef, containerKey } from "../container/types.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { Action } from "../log/event.ts";
import { type CgroupFolder, cgroupFolderOf } from "./cgroup-folder.ts";

const RUNTIME_DEADLINE_MS = 3000;

interface Way {
  readonly done: string;
  /** Of the Docker Engine API, and of runc(8). */
  readonly docker: string;
  readonly runc: readonly [string, ...string[]];
  byKernel(folder: CgroupFolder): Promise<void>;
}

const WAYS: Readonly<Record<Action, Way>> = {
  pause: { done: "paused", docker: "pause", runc: ["pause"], byKernel: (folder) => folder.freeze() },
  resume: { done: "resumed", docker: "unpause", runc: ["resume"], byKernel: (folder) => folder.thaw() },
  kill: { done: "killed", docker: "kill?signal=KILL", runc: ["kill", "KILL"], byKernel: (folder) => folder.kill() },
};

/**
 * Stops every process of a container where it stands, lets them go on, or ends them all. Asks the runtime, so that its own
 * state says so too; when the runtime does not do it in time, the kernel does, through the container's cgroup. `pids` are
 * processes of the container, from which that is found; without them they are looked for. Tells who did it. Throws
 * `action-failed`.
 */
export async function act(action: Action, container: ContainerRef, pids?: readonly number[]): Promise<string> {
  const { docker, runc, done } = WAYS[action];
  try {
    if (container.runtime === "docker") {
      const path = `/containers/${container.id}/${docker}`;
      await dockerJson(dockerAddress(), { method: "POST", path, timeoutMs: RUNTIME_DEADLINE_MS });
      return `${done} by Docker`;
    }
    if (container.runtime === "runc") {
      const [command, ...rest] = runc;
      await promisify(execFile)("runc", [command, container.id, ...rest], { timeout: RUNTIME_DEADLINE_MS });
      return `${done} by runc`;
    }
  } catch (error) {
    return byKernel(action, container, pids, describeError(error));
  }
  return byKernel(action, container, pids, `${container.runtime} is not asked`);
}

async function byKernel(
  action: Action,
  container: ContainerRef,
  pids: readonly number[] | undefined,
  why: string,
): Promise<string> {
  const { done, byKernel } = WAYS[action];
  const failed = (rest: string, cause?: unknown) =>
    new PimsError("action-failed", `the container ${container.id} could not be ${done} (${why})${rest}`, { cause });
  const folder = cgroupFolderOf(container, pids ?? (await processesOf(container)));
  if (folder === null) throw failed(", and no cgroup of it was found that the kernel could do it through");
  try {
    await byKernel(folder);
  } catch (cause) {
    throw failed("", cause);
  }
  return `${done} through ${folder.path} (${why})`;
}

async function processesOf(container: ContainerRef): Promise<number[]> {
  const finder = new ContainerFinder();
  await finder.refresh();
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => {
    const found = finder.ofProcess(pid);
    return found !== null && containerKey(found) === containerKey(container);
  });
}

/** The container that this process itself runs in; null on the host. */
export async function ownContainer(): Promise<ContainerRef | null> {
  const finder = new ContainerFinder();
  await finder.refresh();
  return finder.ofProcess(process.pid);
}
