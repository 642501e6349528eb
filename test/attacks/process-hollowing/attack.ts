import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    await site.payload();
    const { victim } = await site.said("done");
    return site.hostPid(Number(victim));
  },
};
