import type { Evidence } from "../attest/evidence.ts";
import { PimsError } from "../core/errors.ts";

/** What one host may have waiting; far more than a host logs in a week without a verifier. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Records that came before their evidence, since one message does not take them all. Nothing of it is believed. */
export class RecordsAhead {
  #from = 0;
  #lines: string[] = [];
  #bytes = 0;

  /**
   * Adds records that follow those already here, or that start anew at `proved`. Returns the number of the next one.
   * Throws `records-refused`.
   */
  add(from: number, records: readonly string[], proved: number): number {
    if (from === proved) this.#clear(from);
    if (from !== this.#from + this.#lines.length || this.#from !== proved)
      throw new PimsError("records-refused", `the records start at ${from} instead of ${proved}`);
    const bytes = records.reduce((sum, line) => sum + line.length, 0);
    if (this.#bytes + bytes > MAX_BYTES) {
      this.#clear(proved);
      throw new PimsError("records-refused", "more records are sent ahead than are kept");
    }
    this.#lines.push(...records);
    this.#bytes += bytes;
    return this.#from + this.#lines.length;
  }

  /** The evidence with what was sent ahead of it. Afterwards nothing is waiting any more. */
  complete(evidence: Evidence): Evidence {
    const follows = this.#lines.length > 0 && evidence.from === this.#from + this.#lines.length;
    const whole = follows
      ? { ...evidence, from: this.#from, records: [...this.#lines, ...evidence.records] }
      : evidence;
    this.#clear(0);
    return whole;
  }

  #clear(from: number): void {
    this.#from = from;
    this.#lines = [];
    this.#bytes = 0;
  }
}
