import type { BenignCase } from "../case.ts";
import { benign as redis } from "../redis/case.ts";
import { until } from "../site.ts";

export const benign: BenignCase = {
  image: redis.image,
  docker: ["--health-cmd", "redis-cli ping", "--health-interval", "1s"],
  ready: redis.ready,
  async work(site, round) {
    await redis.work(site, round);
    await until("a good state of health", async () => {
      const status = await site.runtime("inspect", "--format", "{{.State.Health.Status}}");
      if (status.trim() !== "healthy") throw new Error(`it is ${status.trim()}`);
    });
    return 1;
  },
};
