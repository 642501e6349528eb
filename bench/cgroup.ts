import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

/** A cgroup with a container's name, in the second version's hierarchy, where there is one. The name is what makes it a container's. */
export function makeCgroup(): string {
  const roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"];
  const root = roots.find((path) => existsSync(join(path, "cgroup.procs")));
  if (root === undefined) throw new Error("no cgroups are mounted at /sys/fs/cgroup");
  const path = join(root, `docker-${randomBytes(32).toString("hex")}.scope`);
  mkdirSync(path);
  return path;
}

/** Its processes have been killed; the kernel needs a moment to take them out. */
export async function removeCgroup(path: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      rmdirSync(path);
      return;
    } catch {
      await wait(50);
    }
  }
  console.error(`${path} could not be removed`);
}
