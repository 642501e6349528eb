import type { Attack } from "../attack.ts";

export const attack: Attack = {
  beforeAgent: true,
  async act(site) {
    const pid = await site.payload();
    await site.said("done");
    return pid;
  },
};
