import { setTimeout as wait } from "node:timers/promises";
import type { BenchImage, Containers, Running } from "./containers.ts";
import { type ExecTimes, execTimes } from "./exec-latency.ts";
import { costOf } from "./process-tree.ts";
import type { Watcher } from "./watcher.ts";
import type { Workload } from "./workloads.ts";

/** One round of all work, with or without a watcher. */
export interface Visit {
  /** Units a second by the workload's name. */
  readonly rates: ReadonlyMap<string, number>;
  readonly exec: ExecTimes;
  /** Processor time of the watcher in percent of one core, by the workload's name; empty where it is not known. */
  readonly cpuPercent: ReadonlyMap<string, number>;
}

/** Visits without a watcher before, between and after those with one. */
export interface Chain {
  readonly without: readonly Visit[];
  readonly with: readonly Visit[];
}

/** A pause in which what a watcher left behind comes to its end. */
const SETTLE_MS = 500;
/**
 * Work that is not counted, in every visit: a watcher that was just started meets each program for the first time, and
 * what that costs is told by the times of an exec.
 */
const WARM_UP_SECONDS = 1;

/** The workloads' containers, and the one in which programs are started one after another. */
export class Work {
  readonly #containers: Containers;
  readonly #images: ReadonlyMap<Workload, BenchImage>;
  readonly #python: BenchImage;
  readonly #seconds: number;
  readonly #signal: AbortSignal;
  #places = new Map<Workload, Running>();
  #starter: Running | undefined;

  constructor(
    containers: Containers,
    images: ReadonlyMap<Workload, BenchImage>,
    python: BenchImage,
    options: { seconds: number; signal: AbortSignal },
  ) {
    this.#containers = containers;
    this.#images = images;
    this.#python = python;
    this.#seconds = options.seconds;
    this.#signal = options.signal;
  }

  /** Those of its containers that live now. */
  get living(): Running[] {
    return [...this.#places.values(), ...(this.#starter === undefined ? [] : [this.#starter])];
  }

  async start(): Promise<void> {
    this.#starter = await this.#containers.start(this.#python, { count: "1" });
    for (const [workload, image] of this.#images) {
      this.#signal.throwIfAborted();
      const place = await this.#containers.start(image);
      this.#places.set(workload, place);
      await workload.ready(place);
    }
  }

  async stop(): Promise<void> {
    const living = this.living;
    this.#places = new Map();
    this.#starter = undefined;
    for (const place of living) await place.remove();
  }

  /** `tries` visits with the watcher, and one more without. */
  async chain(watcher: Watcher, tries: number, onProgress: (text: string) => void): Promise<Chain> {
    const without = [await this.visit(undefined, watcher)];
    const withs: Visit[] = [];
    for (let turn = 1; turn <= tries; turn++) {
      onProgress(`${watcher.name}: ${turn} of ${tries}`);
      withs.push(await this.visit(watcher, watcher));
      without.push(await this.visit(undefined, watcher));
    }
    return { without, with: withs };
  }

  /** `compared` is whom this visit is compared with or without. */
  async visit(watcher?: Watcher, compared?: Watcher): Promise<Visit> {
    this.#signal.throwIfAborted();
    const anew = compared?.onlyNewProcesses === true;
    if (anew) await this.stop();
    const watching = await watcher?.start();
    try {
      if (anew) await this.start();
      // First, since nothing has been executed yet since the watcher was started.
      const exec = await execTimes(this.#starter!);
      await this.#work(WARM_UP_SECONDS);
      return { exec, ...(await this.#work(this.#seconds, watching?.pid)) };
    } finally {
      await watching?.stop();
      await wait(SETTLE_MS);
    }
  }

  async #work(seconds: number, watching?: number): Promise<Omit<Visit, "exec">> {
    const rates = new Map<string, number>();
    const cpuPercent = new Map<string, number>();
    for (const [workload, place] of this.#places) {
      this.#signal.throwIfAborted();
      const [begin, before] = [performance.now(), watching === undefined ? null : costOf(watching)];
      rates.set(workload.name, await workload.work(place, seconds));
      if (before === null) continue;
      const used = costOf(watching!).cpuSeconds - before.cpuSeconds;
      cpuPercent.set(workload.name, (100_000 * used) / (performance.now() - begin));
    }
    return { rates, cpuPercent };
  }
}
