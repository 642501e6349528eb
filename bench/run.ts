// What the whole agent costs those who work on the same machine: in one run, rounds with and without it in turn, each
// workload in a container of its own; beside it auditd and fapolicyd. `--quick` tries the bench itself: its rounds are too
// few and too short for figures, so they are shown and not kept.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeError } from "../src/core/errors.ts";
import { Platform } from "../src/demo/platform.ts";
import { makeRunFolder, removeTree } from "../src/demo/run-folder.ts";
import { requireRoot } from "../src/process/root.ts";
import { measureAgentCost } from "./agent-cost.ts";
import { AgentWatcher } from "./agent-watcher.ts";
import { auditd, withoutAuditing } from "./auditd.ts";
import { type BenchImage, Containers, type Running } from "./containers.ts";
import { PYTHON } from "./exec-latency.ts";
import { fapolicyd } from "./fapolicyd.ts";
import { controlRow, execRow, type LossRow, lossRow } from "./pairing.ts";
import { performancePage } from "./performance-page.ts";
import { type Beside, type Conditions, type ExecTimesRow, RESULTS, type Results } from "./results.ts";
import { round, spreadOf } from "./statistics.ts";
import { type Chain, type Visit, Work } from "./visits.ts";
import type { Watcher } from "./watcher.ts";
import { prepareClients, WORKLOADS, type Workload } from "./workloads.ts";

const WHOLE = { seconds: 2, tries: 14, besideTries: 3, settleSeconds: 10, agentSeconds: 20 };
const QUICK = { seconds: 1, tries: 2, besideTries: 1, settleSeconds: 2, agentSeconds: 3 };
const PAGE = join(import.meta.dirname, "../docs/performance.md");

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const plan = values.quick ? QUICK : WHOLE;
requireRoot("npm run bench");
const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () =>
    stopping.abort(new Error("the bench was interrupted; everything that it started has ended")),
  );
const begin = performance.now();
const progress = (text: string) =>
  console.error(`${Math.round((performance.now() - begin) / 1000)} s: ${text}`.padStart(7));

const closing: (() => Promise<void>)[] = [];
try {
  const results = await measure();
  show(results);
  if (!values.quick) keep(results);
} catch (error) {
  console.error(`pims bench: ${describeError(stopping.signal.aborted ? stopping.signal.reason : error)}`);
  process.exitCode = 1;
} finally {
  for (const close of closing.reverse()) await close().catch((error: unknown) => console.error(describeError(error)));
}

async function measure(): Promise<Results> {
  const { signal } = stopping;
  const folder = await makeRunFolder();
  closing.push(() => removeTree(folder));
  // Whether auditing was ever on since the machine was started must make no difference to anybody.
  const auditing = await withoutAuditing().then(
    (end) => ({ end, refused: null }),
    (error: unknown) => ({ end: null, refused: describeError(error) }),
  );
  if (auditing.end !== null) closing.push(auditing.end);
  const platform = new Platform(folder);
  closing.push(() => platform.close());
  progress("TPM, chain, verifier");
  await platform.startTpm("swtpm");
  await platform.startLedger();
  const containers = await Containers.open(folder, platform);
  closing.push(() => containers.close());
  const images = new Map<Workload, BenchImage>();
  for (const workload of WORKLOADS) {
    signal.throwIfAborted();
    progress(`image and baseline for ${workload.name}`);
    images.set(workload, await containers.image(workload.image));
  }
  progress("image and baseline for single programs");
  const python = await containers.image(PYTHON);
  progress("programs that bring load");
  await prepareClients();
  await platform.startVerifier();

  const work = new Work(containers, images, python, { seconds: plan.seconds, signal });
  progress("containers");
  await work.start();
  await work.visit();
  const agent = new AgentWatcher(platform, signal, containers.names, () => work.living.map(({ ref }) => ref));
  const chain = await work.chain(agent, plan.tries, progress);
  const baselines = [...images.values(), python].map(({ baseline }) => baseline);
  const tools = [
    { watcher: fapolicyd(await platform.scratch("fapolicyd"), baselines), refused: null },
    // Last, for what it leaves switched on.
    { watcher: auditd(await platform.scratch("auditd")), refused: auditing.refused },
  ];
  const chains = [];
  for (const { watcher, refused } of tools) chains.push(await chainBeside(work, watcher, refused));
  await work.stop();
  const idle: Running[] = [];
  const rows = await measureAgentCost({
    ...{ containers, image: python, living: idle, signal, onProgress: progress },
    agent: new AgentWatcher(platform, signal, containers.names, () => idle.map(({ ref }) => ref)),
    ...{ settleSeconds: plan.settleSeconds, seconds: plan.agentSeconds },
  });

  const conditions = describeConditions();
  return {
    loss: {
      schema: "pims.bench-loss/v1",
      conditions,
      rows: lossRows(chain),
      agentCpuPercent: WORKLOADS.map(({ name }) =>
        round(spreadOf(chain.with.map(({ cpuPercent }) => cpuPercent.get(name)!)).median),
      ),
      control: WORKLOADS.map(({ name, unit }) => controlRow(name, unit, ratesOf(chain.without, name))),
      beside: chains.map((one) => ({ ...one, rows: one.rows === null ? [] : lossRows(one.rows) })),
    },
    exec: {
      schema: "pims.bench-exec/v1",
      conditions,
      rows: execRows(chain),
      beside: chains.map((one) => ({ ...one, rows: one.rows === null ? [] : execRows(one.rows) })),
    },
    agent: { schema: "pims.bench-agent/v1", conditions, rows },
  };
}

/** A tool that does not start here is told of, and no reason to end. */
async function chainBeside(
  work: Work,
  watcher: Watcher,
  refused: string | null,
): Promise<Omit<Beside<never>, "rows"> & { rows: Chain | null }> {
  const not = (why: string) => {
    progress(`${watcher.name} is not measured: ${why}`);
    return { tool: watcher.name, notMeasured: why, rows: null };
  };
  if (refused !== null) return not(refused);
  try {
    await (await watcher.start()).stop();
  } catch (error) {
    return not(describeError(error));
  }
  return { tool: watcher.name, notMeasured: null, rows: await work.chain(watcher, plan.besideTries, progress) };
}

function ratesOf(visits: readonly Visit[], name: string): number[] {
  return visits.map(({ rates }) => rates.get(name)!);
}

function lossRows(chain: Chain): LossRow[] {
  return WORKLOADS.map(({ name, unit }) =>
    lossRow(name, unit, ratesOf(chain.without, name), ratesOf(chain.with, name)),
  );
}

function execRows(chain: Chain): ExecTimesRow[] {
  return (["first", "repeated"] as const).map((exec) => ({
    exec,
    without: execRow(chain.without.flatMap((visit) => visit.exec[exec])),
    with: execRow(chain.with.flatMap((visit) => visit.exec[exec])),
  }));
}

function describeConditions(): Conditions {
  return {
    time: new Date().toISOString(),
    // Without the name of whoever built it.
    kernel: release().split("-")[0]!,
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    roundSeconds: plan.seconds,
  };
}

function show({ loss, exec, agent }: Results): void {
  const lossTable = (title: string, rows: readonly LossRow[]) => {
    console.log(title);
    console.table(rows.map(({ betweenPercent, ...row }) => ({ ...row, between: betweenPercent?.join(" to ") ?? "-" })));
  };
  if (loss === null || exec === null || agent === null) return;
  lossTable("lost to the agent", loss.rows);
  console.log(`the agent's CPU in percent of a core meanwhile: ${loss.agentCpuPercent.join(", ")}`);
  lossTable("lost to nothing: the noise", loss.control);
  for (const { tool, notMeasured, rows } of loss.beside)
    if (notMeasured === null) lossTable(`lost to ${tool}`, rows);
    else console.log(`${tool} was not measured: ${notMeasured}`);
  for (const { tool, rows } of [{ tool: "agent", rows: exec.rows }, ...exec.beside])
    for (const { exec: which, without, with: watched } of rows)
      console.log(
        `${tool}, ${which} exec: median ${without.medianMicros} µs without, ${watched.medianMicros} µs with; p99 ${without.p99Micros} and ${watched.p99Micros} µs`,
      );
  console.table(agent.rows);
}

function keep(results: Results): void {
  mkdirSync(RESULTS, { recursive: true });
  for (const [name, result] of Object.entries(results))
    writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(PAGE, performancePage(readFileSync(PAGE, "utf8"), results));
}
