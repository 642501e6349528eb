import { spawn } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { processesOf } from "../../../src/demo/patch-memory.ts";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  quick: true,
  async act(site) {
    const [first] = processesOf(site.container.ref);
    const intruder = spawn("nsenter", ["-t", String(first), "-m", "/usr/bin/sleep", "3600"], { stdio: "ignore" });
    await once(intruder, "spawn");
    site.afterwards(async () => {
      intruder.kill("SIGKILL");
      if (intruder.exitCode === null && intruder.signalCode === null) await once(intruder, "exit");
    });
    const seen = (name: string) => readlinkSync(`/proc/${intruder.pid}/${name}`);
    await until("the intruder", () => seen("exe") === "/usr/bin/sleep");
    if (seen("ns/mnt") !== readlinkSync(`/proc/${first}/ns/mnt`)) throw new Error("it has not entered");
    return intruder.pid!;
  },
};
