import type { BenignCase } from "../case.ts";
import type { Site } from "../site.ts";
import { until } from "../site.ts";

const bin = "/usr/lib/postgresql/15/bin";

const entry = `#!/bin/sh
set -e
mkdir -p /var/lib/postgresql/data
chown postgres /var/lib/postgresql/data
chmod 700 /var/lib/postgresql/data
as="setpriv --reuid=101 --regid=101 --clear-groups"
$as ${bin}/initdb -D /var/lib/postgresql/data -A trust -N --no-locale -E UTF8
exec $as ${bin}/postgres -D /var/lib/postgresql/data -k /tmp -h 127.0.0.1
`;

const psql = (site: Site, text: string) =>
  site.exec(`${bin}/psql`, "-h", "127.0.0.1", "-U", "postgres", "-qAtc", text, "postgres");

export const benign: BenignCase = {
  image: {
    name: "postgresql",
    packages: ["postgresql-15", "util-linux"],
    files: { "usr/local/bin/entry": entry },
    entrypoint: ["/usr/local/bin/entry"],
    ports: ["tcp/5432"],
  },
  async ready(site) {
    await until("an answer of the database", () => psql(site, "select 1"));
    await site.exec(`${bin}/pgbench`, "-h", "127.0.0.1", "-U", "postgres", "-i", "-q", "-s", "2", "postgres");
  },
  async work(site) {
    if ((await psql(site, "select pg_jit_available()")).trim() !== "t") throw new Error("the compiler is not there");
    const [report] = await Promise.all([
      site.exec(`${bin}/pgbench`, "-h", "127.0.0.1", "-U", "postgres", "-c", "4", "-t", "200", "postgres"),
      psql(
        site,
        `set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
         set jit_above_cost = 0; set jit_inline_above_cost = 0; set jit_optimize_above_cost = 0;
         select sum(a.abalance * 2 + a.aid % 7), count(*) from pgbench_accounts a where a.aid % 3 <> 1`,
      ),
    ]);
    const failed = Number(/number of failed transactions: (\d+)/.exec(report)?.[1] ?? 1);
    const done = Number(/transactions actually processed: (\d+)/.exec(report)?.[1] ?? 0);
    if (failed > 0 || done === 0) throw new Error(`pgbench: ${done} done, ${failed} failed`);
    return done;
  },
};
