import { readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";
import { tinyProgram } from "../tiny-program.ts";

export const attack: Attack = {
  async act(site) {
    writeFileSync(join(site.volume, "fetched"), Buffer.concat([tinyProgram("static"), Buffer.from("foreign")]));
    await site.payload();
    const { child } = await site.said("done");
    const pid = site.hostPid(Number(child));
    await until("the program", () => readlinkSync(`/proc/${pid}/exe`) === "/opt/kworker");
    return pid;
  },
};
