import { readFileSync, writeFileSync } from "node:fs";
import type { Attack } from "../attack.ts";

const SET_ASIDE = "/proc/sys/vm/nr_hugepages";
const WANTED = 4;

export const attack: Attack = {
  async act(site) {
    const before = readFileSync(SET_ASIDE, "utf8").trim();
    if (Number(before) < WANTED) {
      writeFileSync(SET_ASIDE, String(WANTED));
      site.afterwards(async () => writeFileSync(SET_ASIDE, before));
    }
    const pid = await site.payload();
    await site.said("done");
    return pid;
  },
};
