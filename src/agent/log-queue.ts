import { type Clock, rfc3339 } from "../core/clock.ts";
import type { LogEvent } from "../log/event.ts";
import type { MeasurementLog } from "../log/measurement-log.ts";
import { MAX_EVENTS } from "../log/record.ts";

/** What one record carries, and with it one extend. A single event is never larger than this. */
const BYTES_A_RECORD = 512 * 1024;
/** What waits for its record, in a queue that is full with it. */
const MAX_WAITING = 8192;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** An overload that lasts is told of so often, and before each quote. */
const GAP_EVERY_MS = 1000;

interface Waiting {
  readonly event: LogEvent;
  readonly bytes: number;
  /** What is done before anything else is appended. */
  readonly sealed?: { work(): Promise<void>; abandon(error: unknown): void };
}

interface Waiter {
  /** So many events must be in the log. */
  readonly count: number;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Events on their way into the log, in order. While a record is written and extended, those that come meanwhile gather for
 * the next: the slower the TPM, the more each record holds. Bounded: whoever can wait does so while it `isFull`; who cannot
 * counts what is left out with `overloaded`, and a `gap` says so.
 *
 * After an append that failed nothing more is appended, and everybody who waits is told why.
 */
export class LogQueue {
  readonly #log: Pick<MeasurementLog, "append">;
  readonly #clock: Clock;
  readonly #onAdded: (event: LogEvent) => void;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #added = 0;
  #appended = 0;
  #waiters: Waiter[] = [];
  readonly #overloads = new Map<string, { count: number; readonly since: string }>();
  #lastGapMs = Number.NEGATIVE_INFINITY;
  #gapTimer: NodeJS.Timeout | undefined;
  #draining = false;
  #drained: Promise<void> = Promise.resolve();
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  readonly #failed = Promise.withResolvers<never>();

  /** `onAdded` hears of each event when it is added, in the log's order. */
  constructor(log: Pick<MeasurementLog, "append">, clock: Clock, onAdded: (event: LogEvent) => void) {
    this.#log = log;
    this.#clock = clock;
    this.#onAdded = onAdded;
    this.#failed.promise.catch(() => {});
  }

  /** Rejects when an append fails. */
  get failure(): Promise<never> {
    return this.#failed.promise;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  get isFull(): boolean {
    return this.#waiting.length >= MAX_WAITING || this.#waitingBytes >= MAX_WAITING_BYTES;
  }

  /** Adds events, also to a full queue: for the few that are never left out. */
  add(events: readonly LogEvent[]): void {
    for (const event of events) this.#push({ event, bytes: Buffer.byteLength(JSON.stringify(event)) });
  }

  /** Adds events, each when there is room for it. */
  async addPatiently(events: readonly LogEvent[]): Promise<void> {
    for (const event of events) {
      while (this.isFull) await this.#whenAppended(this.#appended + 1);
      this.add([event]);
    }
  }

  /** Comes back when everything that was added before is in the log. */
  async written(): Promise<void> {
    await this.#whenAppended(this.#added);
  }

  /** The same, and nothing that follows a sealed record is under way any more. */
  async idle(): Promise<void> {
    await this.written();
    await this.#drained;
  }

  /**
   * Ends a record with this event, does `work` while nothing more is appended, and goes on. So what a quote in `work` shows
   * ends with the event.
   */
  seal<T>(event: LogEvent, work: () => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) return this.failure;
    if (this.#ended) return Promise.reject(new Error("the log has ended"));
    this.#addGaps();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const sealed = { work: () => work().then(resolve, reject), abandon: reject };
    this.#push({ event, bytes: Buffer.byteLength(JSON.stringify(event)), sealed });
    return promise;
  }

  /** Something of this kind was left out. The kinds are few: the sentence of each is kept. */
  overloaded(what: string): void {
    const known = this.#overloads.get(what);
    if (known !== undefined) known.count++;
    else this.#overloads.set(what, { count: 1, since: this.#time() });
    const waitMs = this.#lastGapMs + GAP_EVERY_MS - this.#clock.monotonicMs();
    if (waitMs <= 0) this.#addGaps();
    else this.#gapTimer ??= setTimeout(() => this.#addGaps(), waitMs).unref();
  }

  /** Adds the last events; comes back when all is in the log. What is added later is left out. */
  async end(events: readonly LogEvent[]): Promise<void> {
    this.#addGaps();
    this.add(events);
    this.#ended = true;
    await this.written();
  }

  #addGaps(): void {
    clearTimeout(this.#gapTimer);
    this.#gapTimer = undefined;
    if (this.#overloads.size === 0) return;
    this.#lastGapMs = this.#clock.monotonicMs();
    for (const [what, { count, since }] of this.#overloads) {
      const times = count === 1 ? "once" : `${count} times`;
      this.add([{ type: "gap", time: this.#time(), text: `${what}: ${times} since ${since}` }]);
    }
    this.#overloads.clear();
  }

  #push(waiting: Waiting): void {
    if (this.#failure !== undefined || this.#ended) return;
    this.#waiting.push(waiting);
    this.#waitingBytes += waiting.bytes;
    this.#added++;
    this.#onAdded(waiting.event);
    if (!this.#draining) this.#drained = this.#drain();
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    let record: Waiting[] = [];
    try {
      // What is added in the same instant goes into the same record.
      await Promise.resolve();
      while (this.#waiting.length > 0) {
        record = this.#nextRecord();
        await this.#log.append(record.map(({ event }) => event));
        this.#appended += record.length;
        this.#wake();
        await record.at(-1)?.sealed?.work();
      }
    } catch (error) {
      this.#fail(error, [...record, ...this.#waiting]);
    } finally {
      this.#draining = false;
    }
  }

  #nextRecord(): Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#waiting) {
      if (count === MAX_EVENTS || (count > 0 && bytes + waiting.bytes > BYTES_A_RECORD)) break;
      count++;
      bytes += waiting.bytes;
      if (waiting.sealed !== undefined) break;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  #whenAppended(count: number): Promise<void> {
    if (this.#failure !== undefined) return this.failure;
    if (this.#appended >= count) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ count, resolve, reject }));
  }

  #wake(): void {
    const isReady = ({ count }: Waiter): boolean => count <= this.#appended;
    const ready = this.#waiters.filter(isReady);
    this.#waiters = this.#waiters.filter((waiter) => !isReady(waiter));
    for (const { resolve } of ready) resolve();
  }

  #fail(error: unknown, lost: readonly Waiting[]): void {
    this.#failure = { error };
    this.#waiting = [];
    this.#waitingBytes = 0;
    clearTimeout(this.#gapTimer);
    for (const { sealed } of lost) sealed?.abandon(error);
    for (const { reject } of this.#waiters.splice(0)) reject(error);
    this.#failed.reject(error);
  }

  #time(): string {
    return rfc3339(this.#clock.now());
  }
}
