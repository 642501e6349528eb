import type { BenignCase } from "../case.ts";

export const benign: BenignCase = {
  image: { name: "grep", packages: ["grep"], entrypoint: ["/usr/bin/sleep", "infinity"] },
  async ready() {},
  async work(site) {
    const search = "(seq 1 20000; sleep 0.5; seq 1 20000) | grep -Pc '^(?=.*7)\\d+[13579]$'";
    const lines = Number(await site.exec("/bin/sh", "-c", search));
    if (lines !== 8334) throw new Error(`grep counted ${lines} lines`);
    return lines;
  },
};
