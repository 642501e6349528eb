import { join } from "node:path";
import { runTool } from "../../../src/demo/run-tool.ts";
import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    // A pipe that nobody writes to: the shell that was started waits there for ever.
    await runTool("mkfifo", [join(site.volume, "forever")]);
    const pid = await site.payload();
    await site.said("done");
    return pid;
  },
};
