import { existsSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  quick: true,
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/kworker");
    // `timeout` executes the program in a child.
    const pid = await site.exec([
      "/usr/bin/timeout",
      "-s",
      "KILL",
      "0.8",
      "/tmp/kworker",
      "-l",
      "-p",
      "4444",
      "-s",
      "127.0.0.1",
    ]);
    await until("the end", () => !existsSync(`/proc/${pid}/exe`));
    return null;
  },
};
