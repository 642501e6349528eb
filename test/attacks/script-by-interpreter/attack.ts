import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    const script = join(site.folder, "fetched.sh");
    writeFileSync(script, 'echo "{\\"pid\\": $$}" >/run/web/done.said\nsleep 3600\n');
    await site.copyIn(script, "/tmp/fetched.sh", 0o644);
    const pid = await site.exec(["/usr/bin/sh", "/tmp/fetched.sh"]);
    await site.said("done");
    return pid;
  },
};
