import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.injectedLibrary, "/var/tmp/libnss_cache.so.2", 0o644);
    const pid = await site.payload();
    await site.said("done");
    return pid;
  },
};
