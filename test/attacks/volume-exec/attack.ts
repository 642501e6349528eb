import { chmodSync, copyFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    copyFileSync(site.images.dropper, join(site.volume, "kworker"));
    chmodSync(join(site.volume, "kworker"), 0o755);
    const pid = await site.exec(["/run/web/kworker", "-l", "-p", "4444", "-s", "127.0.0.1"]);
    await until("the program on the volume", () => readlinkSync(`/proc/${pid}/exe`) === "/run/web/kworker");
    return pid;
  },
};
