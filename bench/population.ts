import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** Programs that sleep, the larger ones with the libraries that they come with. Those that are not installed are left out. */
const LARGER: readonly (readonly [string, ...string[]])[] = [
  ["/usr/bin/python3", "-c", "import json, ssl, ctypes, time; time.sleep(100000)"],
  ["/usr/bin/perl", "-MPOSIX", "-MSocket", "-e", "sleep 100000"],
  ["/usr/sbin/nginx", "-g", "daemon off; error_log stderr; pid /dev/null; events {}"],
  ["/usr/bin/tail", "-f", "/dev/null"],
];
const SMALL = ["/bin/sleep", "100000"] as const;
const START_DEADLINE_MS = 30_000;

/** Starts this many processes, one in ten a larger program, and waits until each has loaded its libraries. */
export async function startPopulation(count: number): Promise<{ pids: number[]; stop(): Promise<void> }> {
  const larger = LARGER.filter(([program]) => existsSync(program));
  const children: ChildProcess[] = [];
  const stop = async () => {
    const ended = children.map((child) => new Promise((resolve) => child.once("close", resolve)));
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(ended);
  };
  try {
    for (let index = 0; index < count; index++) {
      const [program, ...args] = index % 10 === 9 ? (larger[Math.floor(index / 10) % larger.length] ?? SMALL) : SMALL;
      const child = spawn(program, args, { stdio: "ignore" });
      child.on("error", () => undefined);
      children.push(child);
    }
    const pids = children.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
    if (pids.length !== count) throw new Error(`only ${pids.length} of ${count} processes could be started`);
    await settle(pids);
    return { pids, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Until no process is running and none has mapped anything new for a while. */
async function settle(pids: readonly number[]): Promise<void> {
  const state = () =>
    pids.map((pid) => {
      const maps = readFileSync(`/proc/${pid}/maps`, "latin1");
      if (!maps.includes("libc.so")) throw new Error(`process ${pid} has not loaded its libraries`);
      return maps.length;
    });
  const deadline = performance.now() + START_DEADLINE_MS;
  let before = "";
  while (performance.now() < deadline) {
    await wait(500);
    try {
      const now = state().join();
      if (now === before) return;
      before = now;
    } catch {
      before = "";
    }
  }
  throw new Error("the processes did not come to rest");
}
