import type { BenignCase } from "../case.ts";
import { benign as redis } from "../redis/case.ts";

export const benign: BenignCase = {
  image: redis.image,
  docker: [],
  ready: redis.ready,
  async work(site) {
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => site.exec("/bin/sh", "-c", "redis-cli incr visits | tr -d '\\n' && sleep 0.2")),
    );
    if (!answers.every((text) => Number(text) > 0)) throw new Error(`redis answered ${answers.join()}`);
    return answers.length;
  },
};
