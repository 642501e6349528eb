import { existsSync, readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupPaths, containerOfCgroupPath } from "../container/cgroup.ts";
import { cgroupMounts } from "../container/cgroup-mounts.ts";
import type { ContainerRef } from "../container/types.ts";

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

class Freezer implements CgroupFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  freeze = () => writeFile(join(this.path, "freezer.state"), "FROZEN");
  thaw = () => writeFile(join(this.path, "freezer.state"), "THAWED");

  /** Frozen first: so no process is made meanwhile, none exits, and no number becomes another's. */
  async kill(): Promise<void> {
    await this.freeze();
    try {
      for (const pid of processesBelow(this.path)) if (pid > 1 && pid !== process.pid) process.kill(pid, "SIGKILL");
    } finally {
      await this.thaw();
    }
  }
}

function processesBelow(folder: string): number[] {
  const groups = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory());
  const folders = [folder, ...groups.map(({ parentPath, name }) => join(parentPath, name))];
  return folders.flatMap((one) =>
    readFileSync(join(one, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number),
  );
}

function groupsOf(pid: number): string[] {
  try {
    return cgroupPaths(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
  } catch {
    // Gone meanwhile; another process of the container will do.
    return [];
  }
}
