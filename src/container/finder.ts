import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode } from "../core/errors.ts";
import { cgroupPaths, containerOfCgroupPath } from "./cgroup.ts";
import { inspectRuncContainer, listRuncIds, runcStateFile } from "./runc.ts";
import type { ContainerRef } from "./types.ts";

interface OnRecord {
  /** Times and inode of the record when it was read. */
  readonly signature: string;
  readonly cgroups: readonly string[];
}

/**
 * Tells which container a process belongs to: by the cgroup's name, or, since plain runc gives any name to a container's
 * cgroup, by the paths that runc has on record. `refresh` reads the records that are new or changed.
 */
export class ContainerFinder {
  readonly #records = new Map<string, OnRecord>();
  readonly #byPath = new Map<string, ContainerRef>();

  async refresh(): Promise<void> {
    const ids = await listRuncIds();
    const living = new Set(ids);
    let changed = false;
    for (const id of this.#records.keys()) if (!living.has(id)) changed = this.#records.delete(id) || changed;
    for (const id of ids) changed = (await this.#read(id)) || changed;
    if (!changed) return;
    this.#byPath.clear();
    for (const [id, { cgroups }] of this.#records)
      for (const path of cgroups) if (path !== "/") this.#byPath.set(path, { runtime: "runc", id });
  }

  /** Whether the record was read anew. One that cannot be read says nothing: the cgroup's name must tell. */
  async #read(id: string): Promise<boolean> {
    try {
      const { ino, mtimeNs } = await stat(runcStateFile(id), { bigint: true });
      const signature = `${ino}:${mtimeNs}`;
      if (this.#records.get(id)?.signature === signature) return false;
      const { cgroups } = await inspectRuncContainer(id);
      this.#records.set(id, { signature, cgroups });
      return true;
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      return this.#records.delete(id);
    }
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
    if (this.#byPath.size === 0) return null;
    for (let end = path.indexOf("/", 1); end >= 0; end = path.indexOf("/", end + 1)) {
      const container = this.#byPath.get(path.slice(0, end));
      if (container !== undefined) return container;
    }
    return this.#byPath.get(path) ?? null;
  }
}
