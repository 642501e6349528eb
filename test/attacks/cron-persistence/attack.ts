import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";
import { tinyProgram } from "../tiny-program.ts";

export const attack: Attack = {
  async act(site) {
    writeFileSync(join(site.volume, "fetched"), Buffer.concat([tinyProgram("static"), Buffer.from("foreign")]));
    await site.payload();
    await site.said("done");
    const host = join(site.volume, "host");
    const job = runCron(host);
    site.afterwards(async () => {
      const exited = once(job, "exit");
      job.kill("SIGKILL");
      await exited;
    });
    await until(
      "cron's job",
      () => existsSync(`/proc/${job.pid}/exe`) && readlinkSync(`/proc/${job.pid}/exe`).endsWith("/kworker"),
    );
    return null;
  },
};

/** What the host's cron would do, below a folder that it takes for its root: starts what the one job names. */
function runCron(root: string): ChildProcess {
  const [, program] =
    /^\* \* \* \* \* root (\/\S+)$/m.exec(readFileSync(join(root, "etc/cron.d/kworker"), "utf8")) ?? [];
  if (program === undefined) throw new Error("there is no job");
  return spawn("chroot", [root, program], { stdio: "ignore" });
}
