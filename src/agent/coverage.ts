import { containerKey } from "../container/types.ts";
import { NOT_KNOWN_WHOSE, type SweepEvent } from "../log/event.ts";
import type { Fact } from "../measure/facts.ts";
import { emptyCoverage } from "../measure/gathering.ts";
import type { SweepResult } from "../measure/sweep.ts";
import { ProofWindow } from "./proof-window.ts";

/** Containers that one event names; beyond them it is not known whose, which is believed of all. */
const MAX_NAMED = 63;

/** Adds up what the sweeps since the last attestation covered. Times are monotonic milliseconds. */
export class CoverageCounter {
  /** What was found and is not proved yet. */
  readonly proof = new ProofWindow();
  #sweeps = 0;
  #longestPauseMs = 0;
  #lastEndMs: number;
  #last: SweepResult["coverage"] = emptyCoverage();
  #pagesCompared = 0;
  #pagesScrubbed = 0;
  #scrubCycleMs: number | null = null;
  #incomplete = new Map<string, string>();
  #unreadable = 0;

  constructor(nowMs: number) {
    this.#lastEndMs = nowMs;
  }

  /** Sweeps since the last attestation. */
  get sweeps(): number {
    return this.#sweeps;
  }

  add(result: SweepResult, endMs: number): void {
    this.#sweeps++;
    // From end to end: a sweep that takes long leaves what it has not come to unwatched for as long.
    this.#longestPauseMs = Math.max(this.#longestPauseMs, endMs - this.#lastEndMs);
    this.#lastEndMs = endMs;
    this.#last = result.coverage;
    this.#pagesCompared += result.coverage.pagesCompared;
    this.#pagesScrubbed += result.coverage.pagesScrubbed;
    this.#scrubCycleMs = result.scrubCycleMs;
    this.addUnreadable(result.facts);
  }

  /** Counts what could not be read, in a sweep or in between. */
  addUnreadable(facts: readonly Fact[]): void {
    for (const fact of facts) if (fact.kind === "unreadable") this.#addUnreadable(fact);
  }

  #addUnreadable(fact: Extract<Fact, { kind: "unreadable" }>): void {
    this.#unreadable++;
    const { container, pid } = fact.process;
    const key = container === null ? NOT_KNOWN_WHOSE : containerKey(container);
    const named = this.#incomplete.has(key) || this.#incomplete.size < MAX_NAMED;
    this.#incomplete.set(named ? key : NOT_KNOWN_WHOSE, `process ${pid}: ${fact.text}`.slice(0, 1000));
  }

  /** The event that answers a nonce, and starts counting anew. */
  take(nonce: string, time: string, nowMs: number): SweepEvent {
    const event: SweepEvent = {
      type: "sweep",
      time,
      nonce,
      sweeps: this.#sweeps,
      longestPauseMs: Math.round(Math.max(this.#longestPauseMs, nowMs - this.#lastEndMs)),
      longestUnprovedMs: this.proof.take(nowMs),
      processes: this.#last.processes,
      mappings: this.#last.mappings,
      pagesCompared: this.#pagesCompared,
      pagesScrubbed: this.#pagesScrubbed,
      scrubCycleMs: this.#scrubCycleMs,
      unreadable: this.#unreadable,
      incomplete: [...this.#incomplete].map(([container, text]) => ({ container, text })),
    };
    this.#sweeps = 0;
    this.#longestPauseMs = 0;
    this.#pagesCompared = 0;
    this.#pagesScrubbed = 0;
    this.#unreadable = 0;
    this.#incomplete.clear();
    return event;
  }
}
