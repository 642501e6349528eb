import { readFileSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  quick: true,
  async act(site) {
    const library = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libm.so.6`;
    const pid = await site.exec(["/usr/bin/sleep", "3600"], { LD_PRELOAD: library });
    await until("the library", () => /r-xp .*libm\.so\.6$/m.test(readFileSync(`/proc/${pid}/maps`, "utf8")));
    return pid;
  },
};
