import { overwriteEntryPoint, workerOf } from "../../../src/demo/patch-memory.ts";
import type { Attack } from "../attack.ts";

export const attack: Attack = {
  quick: true,
  async act(site) {
    const pid = workerOf(site.container.ref);
    await overwriteEntryPoint(pid);
    return pid;
  },
};
