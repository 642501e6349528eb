import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cgroupPaths, containerOfCgroupPath } from "../container/cgroup.ts";
import { cgroupMounts } from "../container/cgroup-mounts.ts";
import type { ContainerRef } from "../container/types.ts";
import { errorCode } from "../core/errors.ts";

/** The folder of a container's own cgroup where the kernel can stop and end all of it (cgroups(7)). */
export interface CgroupFolder {
  readonly path: string;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  kill(): Promise<void>;
}

/** Found through processes of the container; null where there is none. Version 1's freezer, or version 2. */
export function cgroupFolderOf(container: ContainerRef, pids: readonly number[]): CgroupFolder | null {
  for (const group of new Set(pids.flatMap(groupsOf))) {
    // A process may sit in a group below the container's own: the whole container is meant.
    const end = group.indexOf(container.id) + container.id.length;
    if (containerOfCgroupPath(group)?.id !== container.id) continue;
    const own = group.slice(0, group.indexOf("/", end) < 0 ? undefined : group.indexOf("/", end));
    for (const { mountPoint, root } of cgroupMounts()) {
      const path = `${mountPoint}${own}`;
      if (root !== "/") continue;
      if (existsSync(join(path, "cgroup.freeze"))) return new Unified(path);
      if (existsSync(join(path, "freezer.state"))) return new Freezer(path);
    }
  }
  return null;
}

class Unified implements CgroupFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  freeze = () => writeFile(join(this.path, "cgroup.freeze"), "1");
  thaw = () => writeFile(join(this.path, "cgroup.freeze"), "0");
  kill = () => writeFile(join(this.path, "cgroup.kill"), "1");
}

const MAX_TRIES = 20;
const STEP_MS = 25;

class Freezer implements CgroupFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  freeze = () => writeFile(join(this.path, "freezer.state"), "FROZEN");
  thaw = () => writeFile(join(this.path, "freezer.state"), "THAWED");

  /** Frozen first: so no process is made meanwhile, none exits, and no number becomes another's. */
  async kill(): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      await this.freeze();
      try {
        await this.#untilFrozen();
        for (const pid of processesBelow(this.path)) if (pid > 1 && pid !== process.pid) end(pid);
      } finally {
        await this.thaw();
      }
      await sleep(STEP_MS);
      if (processesBelow(this.path).length === 0) return;
    }
    throw new Error(`processes are left in ${this.path}`);
  }

  /** One that waits for a disk is frozen late; what it does until then is ended in the next round. */
  async #untilFrozen(): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      if (readFileSync(join(this.path, "freezer.state"), "utf8").trim() === "FROZEN") return;
      await sleep(STEP_MS);
    }
  }
}

/** Groups may go while they are read, with the last of their processes. */
function processesBelow(folder: string): number[] {
  try {
    const own = readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own, ...below.flatMap(({ name }) => processesBelow(join(folder, name)))];
  } catch (error) {
    if (["ENOENT", "ENODEV"].includes(errorCode(error) ?? "")) return [];
    throw error;
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (errorCode(error) !== "ESRCH") throw error;
  }
}

function groupsOf(pid: number): string[] {
  try {
    return cgroupPaths(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
  } catch {
    // Gone meanwhile; another process of the container will do.
    return [];
  }
}
