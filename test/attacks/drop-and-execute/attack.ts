import { readlinkSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  quick: true,
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/.cache/kworker");
    const pid = await site.exec(["/tmp/.cache/kworker", "-l", "-p", "4444", "-s", "127.0.0.1"]);
    await until("the dropped program", () => readlinkSync(`/proc/${pid}/exe`) === "/tmp/.cache/kworker");
    return pid;
  },
};
