// What a sweep costs: unchanged and changed, with the newest calls and with the fallback, against hashing all code.
// Runs in a pid namespace of its own: there are no other processes in it, and when it ends, so does all that it started.
// The processes are in a cgroup with a container's name, so that they are what the agent watches and this one is not.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { overwriteEntryPoint } from "../src/demo/patch-memory.ts";
import type { Fact } from "../src/measure/facts.ts";
import { HashAll } from "../src/measure/hash-all.ts";
import { Sweeper } from "../src/measure/sweep.ts";
import { parseMaps } from "../src/process/mapping.ts";
import { makeCgroup, removeCgroup } from "./cgroup.ts";
import { startPopulation } from "./population.ts";
import { round, type Spread, spreadOf } from "./statistics.ts";

const DEADLINE_MS = 240_000;
const RESULTS = join(import.meta.dirname, "results");
/** Processes, rounds, and sweeps a round: enough for a clock to be exact about. */
const SIZES = [
  { processes: 10, rounds: 25, sweeps: 50 },
  { processes: 100, rounds: 25, sweeps: 10 },
  { processes: 1000, rounds: 11, sweeps: 3 },
];
/** What other containers of this machine have on record is read in each sweep, and is none of what is measured here. */
const HIDE_RECORDS = '[ ! -d /run/runc ] || mount -t tmpfs none /run/runc || exit 1; exec "$@"';
const WARM_UP_MS = 1500;
const METHODS = ["auto", "fallback"] as const;

interface Way {
  readonly name: string;
  readonly sweepsARound: number;
  sweep(): Promise<readonly Fact[]>;
  readonly cpuMicros: number[];
  readonly wallMicros: number[];
  /** What it had to say, each sentence once. */
  readonly modified: Set<string>;
}

function way(name: string, sweepsARound: number, sweep: () => Promise<readonly Fact[]>): Way {
  return { name, sweepsARound, sweep, cpuMicros: [], wallMicros: [], modified: new Set() };
}

async function take(one: Way, processes: number, measured: ReadonlySet<number>, keep: boolean): Promise<void> {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  const results: (readonly Fact[])[] = [];
  for (let count = 0; count < one.sweepsARound; count++) results.push(await one.sweep());
  const { user, system } = process.cpuUsage(cpu);
  const wallMicros = (performance.now() - wall) * 1000;
  for (const facts of results) one.modified.add(say(facts, measured, "modified"));
  if (!keep) return;
  one.cpuMicros.push((user + system) / one.sweepsARound / processes);
  one.wallMicros.push(wallMicros / one.sweepsARound / processes);
}

/** Findings as text, so that two ways can be compared. */
function say(facts: readonly Fact[], measured: ReadonlySet<number>, kind: Fact["kind"]): string {
  const lines = facts.flatMap((fact) => {
    if (fact.kind !== kind || !measured.has(fact.process.pid)) return [];
    if (fact.kind === "unreadable") return [`${fact.process.pid} ${fact.text}`];
    if (fact.kind === "start" || fact.kind === "listener") return [];
    if (fact.kind === "code" && fact.object.backing === "anonymous") return [];
    const { pid, startTime } = fact.process;
    const { path, device, inode, sha256, role } = fact.object;
    const pages = fact.kind === "modified" ? fact.pages.map((page) => Object.values(page).join(" ")) : [];
    return [[pid, startTime, JSON.stringify(path), device, inode, sha256, role, ...pages].join(" ")];
  });
  return lines.sort().join("\n");
}

async function measureSize({ processes, rounds, sweeps }: (typeof SIZES)[number]) {
  const { pids, stop } = await startPopulation(processes);
  for (const pid of pids) writeFileSync(join(cgroup, "cgroup.procs"), String(pid));
  const sweepers = METHODS.map((method) => new Sweeper({ scope: "containers", method }));
  try {
    const { pageOffset } = await overwriteEntryPoint(pids[0]!);
    const measured = new Set(pids);
    const hashAll = new HashAll();
    const unchanged = METHODS.map((name, index) =>
      way(name, sweeps, async () => (await sweepers[index]!.sweep()).facts),
    );
    const changed = METHODS.map((name, index) =>
      way(`${name}, everything measured anew`, 1, async () => (await sweepers[index]!.measure(pids)).facts),
    );
    const hash = way("hash", 1, () => hashAll.sweep(pids));

    const code = new Set<string>();
    for (const one of [...unchanged, hash]) code.add(say(await one.sweep(), measured, "code"));
    const ways = [...unchanged, ...changed, hash];
    const warm = performance.now();
    while (performance.now() - warm < WARM_UP_MS)
      for (const one of [...unchanged, ...changed]) await take(one, processes, measured, false);
    const hashedBefore = hashAll.hashedBytes;
    for (let turn = 0; turn < rounds; turn++) for (const one of ways) await take(one, processes, measured, true);
    const executableBytes = Number((hashAll.hashedBytes - hashedBefore) / BigInt(rounds));

    const modified = new Set(ways.flatMap((one) => [...one.modified]));
    const [finding] = modified;
    const sameFindings =
      code.size === 1 && modified.size === 1 && finding!.includes(` ${pageOffset} `) && !finding!.includes("\n");
    if (!sameFindings) console.error({ code, modified });
    const mappings = pids.reduce((sum, pid) => sum + parseMaps(readFileSync(`/proc/${pid}/maps`)).length, 0);
    const hashCpu = spreadOf(hash.cpuMicros);
    const same = { processes, mappings, executableBytes, hashCpuMicrosPerProcess: round(hashCpu.median), sameFindings };
    const reference = {
      method: "hash" as const,
      ...same,
      cpuMicrosPerProcess: round(hashCpu.median),
      ratio: 1,
      wallMicrosPerProcess: round(spreadOf(hash.wallMicros).median),
      spread: { cpu: brief(hashCpu) },
    };
    const others = METHODS.map((method, index) => {
      const cpu = spreadOf(unchanged[index]!.cpuMicros);
      const anew = spreadOf(changed[index]!.cpuMicros);
      return {
        method,
        ...same,
        cpuMicrosPerProcess: round(cpu.median),
        changedCpuMicrosPerProcess: round(anew.median),
        ratio: round(hashCpu.median / cpu.median),
        wallMicrosPerProcess: round(spreadOf(unchanged[index]!.wallMicros).median),
        spread: { cpu: brief(cpu), changedCpu: brief(anew), hashCpu: brief(hashCpu) },
      };
    });
    return [...others, reference];
  } finally {
    for (const sweeper of sweepers) await sweeper.close();
    await stop();
  }
}

function brief({ lowerQuartile, upperQuartile, minimum, maximum, samples }: Spread) {
  return {
    lowerQuartile: round(lowerQuartile),
    upperQuartile: round(upperQuartile),
    minimum: round(minimum),
    maximum: round(maximum),
    samples,
  };
}

const { values } = parseArgs({
  options: { inside: { type: "string" }, processes: { type: "string" }, method: { type: "string" } },
});
/** `hash` is the reference alone; it runs beside every other method, since findings and cost are compared with it. */
if (values.method !== undefined && ![...METHODS, "hash"].includes(values.method))
  throw new Error("--method is auto, fallback or hash");
const cgroup = values.inside ?? makeCgroup();
if (values.inside === undefined) process.exit(await runInside());
// Should the one outside be killed, this is what is left of it, and not for long.
setTimeout(() => process.exit(1), DEADLINE_MS).unref();

/** Runs this file again in the new namespace and cleans up after it, however it ends. */
async function runInside(): Promise<number> {
  const inside = [...process.execArgv, import.meta.filename, "--inside", cgroup, ...process.argv.slice(2)];
  const command = ["sh", "-c", HIDE_RECORDS, "sh", process.execPath, ...inside];
  const child = spawn("unshare", ["--pid", "--fork", "--kill-child", "--mount-proc", ...command], {
    stdio: "inherit",
    timeout: DEADLINE_MS,
    killSignal: "SIGKILL",
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill("SIGKILL"));
  try {
    const [status] = await once(child, "exit");
    return status ?? 1;
  } finally {
    await removeCgroup(cgroup);
  }
}

const sizes = SIZES.filter(({ processes }) => values.processes === undefined || Number(values.processes) === processes);
const rows = [];
for (const size of sizes) rows.push(...(await measureSize(size)));
const shown = rows.filter(({ method }) => values.method === undefined || values.method === method);
console.table(shown.map(({ spread: _, ...row }) => row));
if (sizes.length === SIZES.length) {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, "sweep.json"), `${JSON.stringify({ schema: "pims.bench-sweep/v1", rows }, null, 2)}\n`);
}
process.exitCode = rows.every(({ sameFindings }) => sameFindings) ? 0 : 1;
