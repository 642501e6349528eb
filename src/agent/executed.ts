import type { Sweeper, SweepResult } from "../measure/sweep.ts";
import { Signal } from "./signal.ts";

/** A loader has mapped its program's libraries by then, unless the machine is very busy; the next sweep sees those. */
const LOADING_MS = 50;

/**
 * Measures what processes execute: the program at once, and everything that its loader puts beside it a moment later. So
 * nothing is measured twice, and of a process that lives for less than that only its program and script.
 */
export class Executed {
  readonly #sweeper: Sweeper;
  readonly #take: (result: SweepResult) => Promise<void> | void;
  readonly #failed: (error: unknown) => void;
  readonly #stopping = new AbortController();
  #programs: Promise<void> | undefined;
  #loaded: Promise<void> | undefined;
  #pending = false;

  /** `take` is given what was measured, one result at a time; `failed` what ended a measurement. */
  constructor(sweeper: Sweeper, take: (result: SweepResult) => Promise<void> | void, failed: (error: unknown) => void) {
    this.#sweeper = sweeper;
    this.#take = take;
    this.#failed = failed;
  }

  /** Processes have just executed. Whether all of them could be noted; the next sweep covers the others. */
  note(pids: readonly number[]): boolean {
    if (this.#stopping.signal.aborted) return true;
    const noted = this.#sweeper.note(pids);
    this.#pending = true;
    this.#programs ??= this.#measurePrograms().finally(() => {
      this.#programs = undefined;
    });
    this.#loaded ??= this.#measureLoaded().finally(() => {
      this.#loaded = undefined;
    });
    return noted;
  }

  /** Measures nothing more, and waits for what is being measured. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#programs;
    await this.#loaded;
  }

  async #measurePrograms(): Promise<void> {
    await this.#guarded(async () => {
      while (this.#pending && !this.#stopping.signal.aborted) {
        this.#pending = false;
        await this.#take(await this.#sweeper.measureExecuted());
      }
    });
  }

  async #measureLoaded(): Promise<void> {
    await this.#guarded(async () => {
      do {
        await new Signal().wait(LOADING_MS, this.#stopping.signal);
        if (this.#stopping.signal.aborted) return;
        await this.#take(await this.#sweeper.measureLoaded());
      } while (this.#sweeper.loading > 0 || this.#programs !== undefined);
    });
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failed(error);
    }
  }
}
