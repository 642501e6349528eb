import { readFileSync } from "node:fs";
import { errorCode } from "../core/errors.ts";
import type { ContainerRef, Runtime } from "./types.ts";

const ID = "[0-9a-f]{64}";

/** One path component that a runtime names after a container. The first match of the outermost component counts. */
const COMPONENTS: readonly (readonly [RegExp, Runtime])[] = [
  [new RegExp(`^docker-(${ID})\\.scope$`), "docker"],
  [new RegExp(`^cri-containerd-(${ID})\\.scope$`), "containerd"],
  [new RegExp(`^crio-(${ID})(?:\\.scope)?$`), "crio"],
  [new RegExp(`^libpod-(${ID})(?:\\.scope)?$`), "podman"],
  [/^runc-([\w+.-]{1,1024})\.scope$/, "runc"],
];

/** A component that holds the bare id below the runtime's own folder. */
const FOLDERS: ReadonlyMap<string, Runtime> = new Map([
  ["docker", "docker"],
  ["runc", "runc"],
  ["libpod_parent", "podman"],
]);

/**
 * The container that a cgroup path belongs to, from the path alone. A container may make groups below its own and name
 * them after a neighbour, so the outermost id counts.
 */
export function containerOfCgroupPath(path: string): ContainerRef | null {
  const components = path.split("/").filter((component) => component !== "");
  for (const [index, component] of components.entries()) {
    for (const [pattern, runtime] of COMPONENTS) {
      const id = pattern.exec(component)?.[1];
      if (id !== undefined) return { runtime, id };
    }
    const parent = components[index - 1];
    if (parent === undefined) continue;
    const folder = FOLDERS.get(parent);
    if (folder === "runc" && /^[\w+.-]{1,1024}$/.test(component)) return { runtime: folder, id: component };
    if (!/^[0-9a-f]{64}$/.test(component)) continue;
    if (folder !== undefined) return { runtime: folder, id: component };
    // The cgroupfs driver of Kubernetes: /kubepods/burstable/pod<uid>/<id>.
    if (/^pod[0-9a-f-]+$/.test(parent)) return { runtime: "containerd", id: component };
  }
  return null;
}

/** The paths in the text of `/proc/PID/cgroup` (cgroups(7)): lines `number:controllers:path`, of version 1 and 2. */
export function cgroupPaths(text: string): string[] {
  const paths = text.split("\n").map((line) => line.split(":").slice(2).join(":"));
  return [...new Set(paths)].filter((path) => path.startsWith("/") && path !== "/");
}

/** The container that the first cgroup with a container's name belongs to, null where none has one. */
export function parseCgroup(text: string): ContainerRef | null {
  for (const path of cgroupPaths(text)) {
    const container = containerOfCgroupPath(path);
    if (container !== null) return container;
  }
  return null;
}

/** The container of a process by its cgroup's name alone, null for one of the host's and one that has exited. */
export function containerOfProcess(pid: number): ContainerRef | null {
  try {
    return parseCgroup(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return null;
    throw error;
  }
}
