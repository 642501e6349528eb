import { readFileSync } from "node:fs";
import { parseStat } from "../../process/stat.ts";

/** A gate that has shown no life for so long is taken for hung; with what then follows, nobody waits for a second. */
const HUNG_MS = 700;
/** The same of one that would run if it were given a processor. */
const STARVED_MS = 3000;
/** The gate itself refuses long before (READ_DEADLINE_MS). */
const OLDEST_MS = 15_000;

/** What a gate has shown of its life: that it speaks, that its reading thread turns, and that nobody waits for ever. */
export class GateLife {
  readonly #pid: number | undefined;
  #beatMs = performance.now();
  #turns = -1;
  #turnedMs = performance.now();
  #oldestMs = 0;

  constructor(pid: number | undefined) {
    this.#pid = pid;
  }

  beat(turns: number, oldestMs: number): void {
    this.#beatMs = performance.now();
    if (turns !== this.#turns) this.#turnedMs = this.#beatMs;
    this.#turns = turns;
    this.#oldestMs = oldestMs;
  }

  /** Who listens has not been running itself, and so has not heard anything either. */
  excuse(): void {
    const atLeastMs = performance.now() - HUNG_MS / 2;
    this.#beatMs = Math.max(this.#beatMs, atLeastMs);
    this.#turnedMs = Math.max(this.#turnedMs, atLeastMs);
  }

  isHung(): boolean {
    if (this.#oldestMs > OLDEST_MS) return true;
    const silentMs = performance.now() - Math.min(this.#beatMs, this.#turnedMs);
    return silentMs > STARVED_MS || (silentMs > HUNG_MS && !isRunnable(this.#pid));
  }
}

/** Whether a process waits for nothing but a processor. */
function isRunnable(pid: number | undefined): boolean {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1")).state === "R";
  } catch {
    // It has exited.
    return false;
  }
}
