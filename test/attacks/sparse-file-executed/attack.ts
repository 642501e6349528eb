import { readlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";
import { tinyProgram } from "../tiny-program.ts";

export const attack: Attack = {
  async act(site) {
    const script = "cp --sparse=always /run/web/fetched /tmp/kworker && chmod 755 /tmp/kworker && exec /tmp/kworker";
    writeFileSync(join(site.volume, "fetched"), tinyProgram("static"));
    truncateSync(join(site.volume, "fetched"), 10 * 1024 ** 3);
    const pid = await site.exec(["/usr/bin/sh", "-c", script]);
    await until("the program", () => readlinkSync(`/proc/${pid}/exe`) === "/tmp/kworker");
    return pid;
  },
};
