/** Far more than are found between two attestations; with so many waiting it is the first that has waited longest. */
const MAX_WAITING = 4096;

/**
 * How long violations wait between the log and the verifier's having them: only what waits is lost when the host is reset.
 * Times are monotonic milliseconds.
 */
export class ProofWindow {
  /** When each violation that is not proved yet was logged, in order. */
  readonly #waiting: number[] = [];
  #longestMs: number | null = null;

  /** A violation goes into the log. */
  logged(nowMs: number): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(nowMs);
  }

  /** Evidence is made of all that is in the log now. What comes back is called once the verifier has accepted it, and before more is made. */
  cover(): (nowMs: number) => void {
    const covered = this.#waiting.length;
    return (nowMs) => {
      if (covered === 0) return;
      this.#note(nowMs);
      this.#waiting.splice(0, covered);
    };
  }

  /** How long the first of those that wait has waited; 0 for none. */
  waitingMs(nowMs: number): number {
    return nowMs - (this.#waiting[0] ?? nowMs);
  }

  /** The longest that one has waited since this was last asked, or waits now; null for none. */
  take(nowMs: number): number | null {
    this.#note(nowMs);
    const longestMs = this.#longestMs;
    this.#longestMs = null;
    return longestMs;
  }

  /** The first has waited the longest. */
  #note(nowMs: number): void {
    const [first] = this.#waiting;
    if (first !== undefined) this.#longestMs = Math.max(this.#longestMs ?? 0, Math.round(nowMs - first));
  }
}
