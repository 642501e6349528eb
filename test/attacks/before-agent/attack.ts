import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { tinyProgram } from "../tiny-program.ts";

export const attack: Attack = {
  beforeAgent: true,
  async act(site) {
    writeFileSync(join(site.folder, "kworker"), Buffer.concat([tinyProgram("static"), Buffer.from("foreign")]));
    await site.copyIn(join(site.folder, "kworker"), "/tmp/kworker");
    await site.exec(["/tmp/kworker"]);
    const pid = await site.payload();
    await site.said("done");
    return pid;
  },
};
