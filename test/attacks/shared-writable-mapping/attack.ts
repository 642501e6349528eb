import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    await site.payload();
    const says = (word: string) => existsSync(join(site.volume, `${word}.said`));
    for (let attempt = 0; !says("done"); attempt++) {
      await site.said(`touched-${attempt}`);
      await site.sweep();
      await site.go(`write-${attempt}`);
      await until("an answer", () => says("done") || says(`touched-${attempt + 1}`));
    }
    return null;
  },
};
