import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";
import { tinyLibrary } from "../tiny-library.ts";

export const attack: Attack = {
  async act(site) {
    const library = join(site.folder, "audit.so");
    writeFileSync(library, tinyLibrary());
    await site.copyIn(library, "/tmp/audit.so", 0o644);
    const pid = await site.exec(["/usr/bin/sleep", "3600"], { LD_AUDIT: "/tmp/audit.so" });
    const auditor = () => /r-xp .*audit\.so$/m.test(readFileSync(`/proc/${pid}/maps`, "utf8"));
    // The loader drops what is no auditor before the program starts.
    await until("the auditor", () => auditor() && /libc\.so/.test(readFileSync(`/proc/${pid}/maps`, "utf8")));
    return pid;
  },
};
