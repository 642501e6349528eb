import { runTool } from "../src/demo/run-tool.ts";
import { makeImage, type Recipe } from "../test/benign/images.ts";
import { benign as nginx } from "../test/benign/nginx/case.ts";
import { benign as postgresql } from "../test/benign/postgresql/case.ts";
import { benign as redis } from "../test/benign/redis/case.ts";
import type { Site } from "../test/benign/site.ts";

/** Work whose rate is measured, with both cores busy: what else runs can only be at its expense. */
export interface Workload {
  readonly name: string;
  /** What is counted, a second: more is better. */
  readonly unit: string;
  readonly image: Recipe;
  /** Comes back when the container can be put to work. */
  ready(site: Site): Promise<void>;
  /** Works for about so many seconds and returns how many units a second were done. */
  work(site: Site, seconds: number): Promise<number>;
}

const PARALLEL = 2;
/** Load comes from an image of its own that is no container: the agent does not watch it. */
const CLIENTS: Recipe = { name: "bench-clients", packages: ["wrk", "redis-tools", "postgresql-15"], entrypoint: [] };

/** Makes what brings load to containers, so that no round has to wait for it. */
export async function prepareClients(): Promise<void> {
  await makeImage(CLIENTS);
}

async function client(site: Site, ...argv: string[]): Promise<string> {
  const tools = await makeImage(CLIENTS);
  const network = `--net=/proc/${await site.pid()}/ns/net`;
  return runTool("nsenter", [network, "chroot", tools, ...argv], { timeoutMs: 60_000 });
}

function figure(report: string, pattern: RegExp): number {
  const value = Number(pattern.exec(report)?.[1]);
  if (!(value > 0)) throw new Error(`the load told no rate: ${report.trim().slice(-300)}`);
  return value;
}

/**
 * Work of a fixed size that tells how many seconds it took. What a second's work is was found out at the first call, and
 * is kept.
 */
function sized(probe: number, run: (site: Site, count: number) => Promise<number>): Workload["work"] {
  let aSecond: number | undefined;
  return async (site, seconds) => {
    aSecond ??= probe / (await run(site, probe));
    const count = Math.max(1, Math.round(aSecond * seconds));
    return count / (await run(site, count));
  };
}

/** Runs a shell script in the container, with a number as `$1`, and returns the seconds it took. runc's own time is not in it. */
async function timed(site: Site, script: string, count: number): Promise<number> {
  const lines = `begin=$(date +%s%N)\n${script}\nend=$(date +%s%N)\necho "took $((end - begin))"`;
  const report = await site.exec("/bin/sh", "-ec", lines, "sh", `${count}`);
  return figure(report, /^took (\d+)$/m) / 1e9;
}

const unit = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
${Array.from(
  { length: 6 },
  (_, index) => `
static int compare${index}(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
double part${index}(int *values, size_t count) {
  double sum = ${index};
  qsort(values, count, sizeof *values, compare${index});
  for (size_t i = 0; i < count; i++) sum += sqrt(values[i] * ${index + 1}.5) / (1 + i % ${index + 2});
  for (size_t i = 1; i < count; i++) values[i] ^= values[i - 1] << ${index % 7};
  if (sum < 0) printf("%f %zu\\n", sum, strlen("part"));
  return sum;
}`,
).join("\n")}
`;

export const WORKLOADS: readonly Workload[] = [
  {
    name: "nginx",
    unit: "requests/s",
    image: nginx.image,
    ready: (site) => nginx.ready(site),
    async work(site, seconds) {
      const options = ["-t", `${PARALLEL}`, "-c", "32", "-d", `${seconds}s`];
      const report = await client(site, "/usr/bin/wrk", ...options, "http://127.0.0.1/index.html");
      if (/Non-2xx|Socket errors/.test(report)) throw new Error(`wrk met errors: ${report.trim()}`);
      return figure(report, /^Requests\/sec: +([\d.]+)$/m);
    },
  },
  {
    name: "redis",
    unit: "requests/s",
    image: redis.image,
    ready: (site) => redis.ready(site),
    work: sized(20_000, async (site, count) => {
      const options = ["--csv", "-c", "32", "-n", `${Math.ceil(count / 2)}`, "-t", "set,get"];
      const report = await client(site, "/usr/bin/redis-benchmark", ...options);
      const seconds = (name: string) => count / 2 / figure(report, new RegExp(`^"${name}","([\\d.]+)"`, "m"));
      return seconds("SET") + seconds("GET");
    }),
  },
  {
    name: "PostgreSQL",
    unit: "transactions/s",
    image: postgresql.image,
    ready: (site) => postgresql.ready(site),
    async work(site, seconds) {
      // The processor is to be the limit, and not the disk.
      const settings = "PGOPTIONS=-c synchronous_commit=off";
      const options = ["-h", "127.0.0.1", "-U", "postgres", "-n", "-c", "4", "-j", `${PARALLEL}`, "-T", `${seconds}`];
      const pgbench = "/usr/lib/postgresql/15/bin/pgbench";
      const report = await client(site, "/usr/bin/env", settings, pgbench, ...options, "postgres");
      return figure(report, /^tps = ([\d.]+)/m);
    },
  },
  {
    name: "compile",
    unit: "files/s",
    image: {
      name: "bench-compile",
      packages: ["gcc", "libc6-dev", "findutils"],
      files: { "src/unit.c": unit },
      entrypoint: ["/bin/sleep", "infinity"],
    },
    ready: async () => {},
    work: sized(8, (site, count) =>
      timed(site, `seq "$1" | xargs -P ${PARALLEL} -I N gcc -O2 -c /src/unit.c -o /tmp/unit-N.o`, count),
    ),
  },
  {
    name: "exec loop",
    unit: "execs/s",
    image: { name: "bench-exec", packages: ["findutils"], entrypoint: ["/bin/sleep", "infinity"] },
    ready: async () => {},
    work: sized(200, (site, count) => {
      const loop = `(i=0; while [ $i -lt $(($1 / ${PARALLEL})) ]; do /bin/true; i=$((i + 1)); done) &`;
      return timed(site, `${Array.from({ length: PARALLEL }, () => loop).join("\n")}\nwait`, count);
    }),
  },
];
