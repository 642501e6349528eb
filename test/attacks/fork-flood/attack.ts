import type { Attack } from "../attack.ts";

const BOUND_MS = 5000;

export const attack: Attack = {
  async act(site) {
    await site.payload();
    const { hidden } = await site.said("ready");
    const startMs = performance.now();
    await site.sweep();
    const tookMs = performance.now() - startMs;
    await site.said("done");
    if (tookMs > BOUND_MS) throw new Error(`a sweep in the middle of the flood took ${Math.round(tookMs)} ms`);
    return site.hostPid(Number(hidden));
  },
};
