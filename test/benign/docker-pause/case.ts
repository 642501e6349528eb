import { setTimeout as sleep } from "node:timers/promises";
import type { BenignCase } from "../case.ts";
import { benign as nginx } from "../nginx/case.ts";
import { answers, request } from "../site.ts";

export const benign: BenignCase = {
  image: nginx.image,
  docker: [],
  ready: answers,
  async work(site) {
    await site.runtime("pause");
    await sleep(1500);
    await site.runtime("unpause");
    return request(site, { count: 500 });
  },
};
