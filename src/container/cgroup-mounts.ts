import { readFileSync } from "node:fs";
import { parseMountinfo } from "../process/mountinfo.ts";

/** Where a cgroup hierarchy is mounted, and which of its groups is the root of that mount. */
export interface CgroupMount {
  readonly mountPoint: string;
  readonly root: string;
}

/** The cgroup file systems in the text of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)), version 1 and 2. */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return parseMountinfo(mountinfo)
    .filter(({ type }) => type === "cgroup" || type === "cgroup2")
    .map(({ mountPoint, root }) => ({ mountPoint, root }));
}

export function cgroupMounts(): CgroupMount[] {
  return parseCgroupMounts(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** A folder below a cgroup mount as `/proc/PID/cgroup` writes it (from the root of the hierarchy), null when it is below none. */
export function pathInHierarchy(mounts: readonly CgroupMount[], path: string): string | null {
  let best: CgroupMount | undefined;
  for (const mount of mounts) {
    const inside = path === mount.mountPoint || path.startsWith(`${mount.mountPoint}/`);
    if (inside && mount.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  }
  if (best === undefined) return null;
  return `${best.root === "/" ? "" : best.root}${path.slice(best.mountPoint.length)}` || "/";
}
