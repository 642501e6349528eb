import type { Evidence } from "../attest/evidence.ts";
import { PimsError } from "../core/errors.ts";

/** What one host may have waiting; far more than a host logs in a week without a verifier. */
const MAX_BYTES = 256 * 1024 * 1024;
/** What all hosts together may. */
const MAX_ALL_BYTES = 2 * MAX_BYTES;
/** What a line costs beyond its characters, so that short ones are not kept for nothing. */
const LINE_BYTES = 64;
/** A nonce's life: the evidence that would follow is refused by then. */
const LIFETIME_MS = 60_000;

/** What waits of all hosts: the one that has most gives way where there is no room, so that it harms itself first. */
export class RecordsRoom {
  readonly #kept = new Set<RecordsAhead>();

  /** Frees what nobody goes on with. `nowMs` is monotonic. */
  expire(nowMs: number): void {
    for (const one of this.#kept) if (nowMs > one.until) this.free(one);
  }

  /** Makes room for more of a host. False when there is none for it; then it keeps nothing. */
  take(host: RecordsAhead, bytes: number, nowMs: number): boolean {
    this.expire(nowMs);
    this.#kept.add(host);
    const sizeOf = (one: RecordsAhead) => one.bytes + (one === host ? bytes : 0);
    for (;;) {
      const bySize = [...this.#kept].sort((a, b) => sizeOf(b) - sizeOf(a));
      const all = bySize.reduce((sum, one) => sum + sizeOf(one), 0);
      if (all <= MAX_ALL_BYTES) return true;
      const largest = bySize[0]!;
      this.free(largest);
      if (largest === host) return false;
    }
  }

  free(host: RecordsAhead): void {
    this.#kept.delete(host);
    host.forget();
  }
}

/** Records that came before their evidence, since one message does not take them all. Nothing of it is believed. */
export class RecordsAhead {
  readonly #room: RecordsRoom;
  #from = 0;
  #lines: string[] = [];
  #bytes = 0;
  #until = 0;

  constructor(room: RecordsRoom) {
    this.#room = room;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Monotonic time after which nothing is kept any more, milliseconds. */
  get until(): number {
    return this.#until;
  }

  /**
   * Adds records that follow those already here, or that start anew at `proved`. Returns the number of the next one.
   * `nowMs` is monotonic. Throws `records-refused`, and `records-too-many` where a host lacks more than it may have waiting.
   */
  add(from: number, records: readonly string[], proved: number, nowMs: number): number {
    this.#room.expire(nowMs);
    if (from === proved) {
      this.forget();
      this.#from = from;
    }
    if (from !== this.#from + this.#lines.length || this.#from !== proved)
      throw new PimsError("records-refused", `the records start at ${from} instead of ${proved}`);
    const bytes = records.reduce((sum, line) => sum + line.length + LINE_BYTES, 0);
    if (this.#bytes + bytes > MAX_BYTES) {
      this.#room.free(this);
      throw new PimsError("records-too-many", "more records are not proved yet than the verifier takes of one host");
    }
    this.#until = nowMs + LIFETIME_MS;
    if (!this.#room.take(this, bytes, nowMs))
      throw new PimsError("records-refused", "too many hosts send records ahead at this time");
    for (const line of records) this.#lines.push(line);
    this.#bytes += bytes;
    return this.#from + this.#lines.length;
  }

  /** The evidence with what was sent ahead of it. Afterwards nothing is waiting any more. */
  complete(evidence: Evidence): Evidence {
    const follows = this.#lines.length > 0 && evidence.from === this.#from + this.#lines.length;
    const whole = follows ? { ...evidence, from: this.#from, records: this.#lines.concat(evidence.records) } : evidence;
    this.#room.free(this);
    return whole;
  }

  forget(): void {
    this.#from = 0;
    this.#lines = [];
    this.#bytes = 0;
  }
}
