import { setTimeout as wait } from "node:timers/promises";
import type { BenchImage, Containers, Running } from "./containers.ts";
import { costOf } from "./process-tree.ts";
import { round } from "./statistics.ts";
import type { Watcher } from "./watcher.ts";

export interface AgentCostRow {
  /** In containers; they do nothing meanwhile. */
  readonly processes: number;
  readonly containers: number;
  /** Of one core. */
  readonly cpuPercent: number;
  /** The most that was seen. */
  readonly residentMiB: number;
  readonly seconds: number;
}

/** Processes in all, and in one container. */
const SIZES = [
  { processes: 10, each: 10 },
  { processes: 100, each: 90 },
  { processes: 1000, each: 100 },
];
const SAMPLE_MS = 500;

export interface CostOptions {
  readonly containers: Containers;
  readonly image: BenchImage;
  readonly agent: Watcher;
  /** The containers that are there so far: the agent is to find each of them trusted. */
  readonly living: Running[];
  /** How long the agent may settle, and how long it is watched then. */
  readonly settleSeconds: number;
  readonly seconds: number;
  readonly signal: AbortSignal;
  onProgress(text: string): void;
}

/** Processor time and memory of an agent that was started anew, by the number of processes that it watches. */
export async function measureAgentCost(options: CostOptions): Promise<AgentCostRow[]> {
  const { containers, image, agent, living, settleSeconds, seconds, signal } = options;
  const rows: AgentCostRow[] = [];
  let started = 0;
  for (const { processes, each } of SIZES) {
    options.onProgress(`agent's own cost with ${processes} processes`);
    for (; started < processes; started += each) {
      signal.throwIfAborted();
      living.push(await containers.start(image, { count: `${each}` }));
    }
    const watching = await agent.start();
    try {
      await wait(settleSeconds * 1000, undefined, { signal });
      const pid = watching.pid!;
      const [begin, before] = [performance.now(), costOf(pid).cpuSeconds];
      let residentMiB = 0;
      while (performance.now() - begin < seconds * 1000) {
        await wait(SAMPLE_MS, undefined, { signal });
        residentMiB = Math.max(residentMiB, costOf(pid).residentMiB);
      }
      const cpuPercent = ((costOf(pid).cpuSeconds - before) * 100_000) / (performance.now() - begin);
      rows.push({
        processes: started,
        containers: living.length,
        cpuPercent: round(cpuPercent, 2),
        residentMiB: round(residentMiB),
        seconds,
      });
    } finally {
      await watching.stop();
    }
  }
  return rows;
}
