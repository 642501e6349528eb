import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { cgroupMounts } from "../../../src/container/cgroup-mounts.ts";
import { processesOf } from "../../../src/demo/patch-memory.ts";
import type { Attack } from "../attack.ts";
import { type Site, until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/kworker");
    const number = await freeNumber();
    const listed = await startAs(site, number, "/usr/bin/sleep", "3600");
    await site.sweep();
    await listed.end();
    const foreign = await startAs(site, number, "/tmp/kworker", "-l", "-p", "4444", "-s", "127.0.0.1");
    site.afterwards(foreign.end);
    return number;
  },
};

/** A number that was just in use and is free now. */
async function freeNumber(): Promise<number> {
  const child = spawn("true", { stdio: "ignore" });
  const number = child.pid!;
  await once(child, "exit");
  return number;
}

async function startAs(site: Site, number: number, program: string, ...args: string[]) {
  const root = `/proc/${processesOf(site.container.ref)[0]}/root`;
  const groups = cgroupMounts()
    .map(({ mountPoint }) => join(mountPoint, "runc", site.container.ref.id))
    .filter((group) => existsSync(group));
  const script = join(import.meta.dirname, "start.py");
  const child = spawn("python3", [script, String(number), root, program, ...groups, "--", ...args], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const exited = once(child, "exit");
  const end = async () => {
    // Its parent waits for it and then ends too: so the number is free.
    if (child.exitCode === null) process.kill(number, "SIGKILL");
    await exited;
  };
  try {
    await until(`${program} as process ${number}`, () => {
      if (child.exitCode !== null) throw new Error(`the host did not start ${program} as process ${number}`);
      return existsSync(`/proc/${number}/exe`) && readlinkSync(`/proc/${number}/exe`).endsWith(program);
    });
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return { end };
}
