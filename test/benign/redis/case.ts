import type { BenignCase } from "../case.ts";
import { until } from "../site.ts";

const cli = "/usr/bin/redis-cli";
const script = "local n = 0 for i = 1, 10000 do n = n + i end return n";

export const benign: BenignCase = {
  quick: true,
  image: {
    name: "redis",
    packages: ["redis-server", "redis-tools"],
    files: { "etc/redis.conf": "bind 127.0.0.1\ndir /tmp\nsave 60 100\n" },
    entrypoint: ["/usr/bin/redis-server", "/etc/redis.conf"],
    ports: ["tcp/6379"],
  },
  ready: (site) => until("a pong", () => site.exec(cli, "ping")),
  async work(site, round) {
    const count = 5000;
    await site.exec("/usr/bin/redis-benchmark", "-q", "-n", `${count}`, "-c", "10", "-t", "set,get,lpush,zadd");
    const sum = await site.exec(cli, "eval", script, "0");
    if (sum.trim() !== "50005000") throw new Error(`the script returned ${sum}`);
    if (round % 3 === 0) await site.exec(cli, "bgsave");
    return 4 * count;
  },
};
