import type { BenignCase } from "../case.ts";
import { benign as nginx } from "../nginx/case.ts";
import { answers, request } from "../site.ts";

export const benign: BenignCase = {
  image: nginx.image,
  docker: [],
  ready: answers,
  async work(site) {
    await site.runtime("restart", "--time", "5");
    await answers(site);
    return request(site, { count: 500 });
  },
};
