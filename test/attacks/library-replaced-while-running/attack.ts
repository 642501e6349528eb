import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    await site.payload();
    await site.said("loaded");
    await site.sweep();
    await site.go("write");
    await site.said("done");
    // Code is reported once for a container, in the name of the process in which it was seen first.
    return null;
  },
};
