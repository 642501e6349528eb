import { readdirSync, statSync } from "node:fs";
import { processesOf } from "../../../src/demo/patch-memory.ts";
import type { Attack } from "../attack.ts";

export const attack: Attack = {
  quick: true,
  binds: { "/mnt": "/" },
  async act(site) {
    const [first] = processesOf(site.container.ref).sort((a, b) => a - b);
    const [inside, outside] = [statSync(`/proc/${first}/root/mnt`), statSync("/")];
    if (inside.ino !== outside.ino || inside.dev !== outside.dev || readdirSync(`/proc/${first}/root/mnt`).length === 0)
      throw new Error("the container does not have the host's root folder");
    return first!;
  },
};
