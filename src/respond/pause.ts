import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { containerOfCgroupPath } from "../container/cgroup.ts";
import { cgroupMounts } from "../container/cgroup-mounts.ts";
import { dockerAddress, dockerJson } from "../container/docker-http.ts";
import type { ContainerRef } from "../container/types.ts";
import { describeError, PimsError } from "../core/errors.ts";

const RUNTIME_DEADLINE_MS = 3000;

/**
 * Stops every process of a container where it stands; nothing in it is lost. Asks the runtime, so that its own state
 * says "paused" and its `unpause` works; when the runtime does not do it in time, writes to the kernel's freezer.
 * `pids` are processes of the container, from which its cgroup is found. Tells who did it. Throws `pause-failed`.
 */
export async function pauseContainer(container: ContainerRef, pids: readonly number[]): Promise<string> {
  try {
    if (container.runtime === "docker") {
      const path = `/containers/${container.id}/pause`;
      await dockerJson(dockerAddress(), { method: "POST", path, timeoutMs: RUNTIME_DEADLINE_MS });
      return "paused by Docker";
    }
    if (container.runtime === "runc") {
      await promisify(execFile)("runc", ["pause", container.id], { timeout: RUNTIME_DEADLINE_MS });
      return "paused by runc";
    }
  } catch (error) {
    return freeze(container, pids, describeError(error));
  }
  return freeze(container, pids, `${container.runtime} is not asked`);
}

async function freeze(container: ContainerRef, pids: readonly number[], why: string): Promise<string> {
  const file = freezerFile(container, pids);
  if (file === null)
    throw new PimsError(
      "pause-failed",
      `the container ${container.id} could not be paused (${why}), and no freezer cgroup of it was found`,
    );
  try {
    await writeFile(file.path, file.value);
  } catch (cause) {
    throw new PimsError("pause-failed", `the container ${container.id} could not be paused`, { cause });
  }
  return `frozen through ${file.path} (${why})`;
}

/** The freezer of the container's own cgroup: `cgroup.freeze` of version 2, `freezer.state` of version 1 (cgroups(7)). */
function freezerFile(container: ContainerRef, pids: readonly number[]): { path: string; value: string } | null {
  for (const group of new Set(pids.flatMap((pid) => cgroupsOf(pid)))) {
    // A process may sit in a group below the container's own: the whole container is meant.
    const end = group.indexOf(container.id) + container.id.length;
    if (containerOfCgroupPath(group)?.id !== container.id) continue;
    const own = group.slice(0, group.indexOf("/", end) < 0 ? undefined : group.indexOf("/", end));
    for (const { mountPoint, root } of cgroupMounts()) {
      if (root !== "/") continue;
      for (const [file, value] of [
        ["cgroup.freeze", "1"],
        ["freezer.state", "FROZEN"],
      ] as const) {
        const path = `${mountPoint}${own}/${file}`;
        if (existsSync(path)) return { path, value };
      }
    }
  }
  return null;
}

function cgroupsOf(pid: number): string[] {
  try {
    const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
    return lines.map((line) => line.split(":").slice(2).join(":")).filter((path) => path.startsWith("/"));
  } catch {
    // Gone meanwhile; another process of the container will do.
    return [];
  }
}
