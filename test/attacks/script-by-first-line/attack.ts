import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    const script = join(site.folder, "fetched");
    writeFileSync(script, '#!/usr/bin/sh\necho "{\\"pid\\": $$}" >/run/web/done.said\nsleep 3600\n');
    await site.copyIn(script, "/tmp/fetched");
    const pid = await site.exec(["/tmp/fetched"]);
    await site.said("done");
    return pid;
  },
};
