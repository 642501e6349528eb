import { readlinkSync } from "node:fs";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  quick: true,
  async act(site) {
    const pid = await site.payload();
    await until("the memory file's execution", () => readlinkSync(`/proc/${pid}/exe`).startsWith("/memfd:"));
    return pid;
  },
};
