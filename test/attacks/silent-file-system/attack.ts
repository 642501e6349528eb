import { readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processesOf } from "../../../src/demo/patch-memory.ts";
import { serveSilentFiles } from "../../silent-files.ts";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";
import { tinyProgram } from "../tiny-program.ts";

export const attack: Attack = {
  async act(site) {
    const program = join(site.folder, "kworker");
    writeFileSync(program, Buffer.concat([tinyProgram("static"), Buffer.from("foreign")]));
    const [first] = processesOf(site.container.ref);
    const server = await serveSilentFiles({ pid: first!, folder: "/mnt", program, silent: "when executed" });
    site.afterwards(() => server.end());
    const pid = await site.exec(["/mnt/kworker"]);
    await until("the program", () => readlinkSync(`/proc/${pid}/exe`) === "/mnt/kworker");
    return pid;
  },
};
