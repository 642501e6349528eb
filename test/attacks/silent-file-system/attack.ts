import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processesOf } from "../../../src/demo/patch-memory.ts";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";
import { tinyProgram } from "../tiny-program.ts";

export const attack: Attack = {
  async act(site) {
    const program = join(site.folder, "kworker");
    writeFileSync(program, Buffer.concat([tinyProgram("static"), Buffer.from("foreign")]));
    const [first] = processesOf(site.container.ref);
    const server = spawn("python3", [join(import.meta.dirname, "serve.py"), String(first), "/mnt", program], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    const exited = once(server, "exit");
    // Its end ends the file system, and with it all waiting.
    site.afterwards(async () => {
      server.kill("SIGKILL");
      await exited;
    });
    await until("the file system", () => readFileSync(`/proc/${first}/mounts`, "utf8").includes(" /mnt fuse "));
    const pid = await site.exec(["/mnt/kworker"]);
    await until("the program", () => readlinkSync(`/proc/${pid}/exe`) === "/mnt/kworker");
    return pid;
  },
};
