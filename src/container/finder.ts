import { readFileSync } from "node:fs";
import { errorCode } from "../core/errors.ts";
import { cgroupPaths, containerOfCgroupPath } from "./cgroup.ts";
import { listRuncContainers } from "./runc.ts";
import type { ContainerRef } from "./types.ts";

/**
 * Tells which container a process belongs to: by the cgroup's name, or, since plain runc gives any name to a container's
 * cgroup, by the paths that runc has on record. `refresh` reads that record again.
 */
export class ContainerFinder {
  readonly #runc = new Map<string, ContainerRef>();

  async refresh(): Promise<void> {
    const { containers } = await listRuncContainers();
    this.#runc.clear();
    for (const { id, cgroups } of containers)
      for (const path of cgroups) if (path !== "/") this.#runc.set(path, { runtime: "runc", id });
  }

  /** The container of a process; null for one of the host's, and when the process has exited. */
  ofProcess(pid: number): ContainerRef | null {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    } catch (error) {
      if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return null;
      throw error;
    }
    for (const path of cgroupPaths(text)) {
      const container = containerOfCgroupPath(path) ?? this.#onRecord(path);
      if (container !== null) return container;
    }
    return null;
  }

  /** The outermost group that runc has on record: groups below it are of the container's own making. */
  #onRecord(path: string): ContainerRef | null {
    if (this.#runc.size === 0) return null;
    for (let end = path.indexOf("/", 1); end >= 0; end = path.indexOf("/", end + 1)) {
      const container = this.#runc.get(path.slice(0, end));
      if (container !== undefined) return container;
    }
    return this.#runc.get(path) ?? null;
  }
}
