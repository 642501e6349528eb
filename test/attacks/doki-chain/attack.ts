import { copyFileSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    copyFileSync(site.images.dropper, join(site.volume, "fetched"));
    await site.payload();
    const { child } = await site.said("done");
    const pid = site.hostPid(Number(child));
    await until("the program", () => readlinkSync(`/proc/${pid}/exe`).endsWith("/kworker"));
    await until("its port", () => readFileSync(`/proc/${pid}/net/tcp`, "latin1").includes(":115C 00000000:0000 0A"));
    const [name] = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
    if (name !== "[kworker/0:0]") throw new Error(`the program is named ${name}`);
    return pid;
  },
};
