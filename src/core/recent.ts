interface Entry<T> {
  readonly value: T;
  readonly askedMs: number;
}

/**
 * Values by key, as long as somebody asks for them. What nobody has asked for within `idleMs` is dropped when another
 * one comes, and of more than `max` those that were asked for longest ago. Times are the caller's, milliseconds.
 */
export class Recent<T> {
  readonly #max: number;
  readonly #idleMs: number;
  /** In the order in which they were last asked for. */
  readonly #entries = new Map<string, Entry<T>>();

  constructor({ max, idleMs }: { max: number; idleMs: number }) {
    this.#max = max;
    this.#idleMs = idleMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string, nowMs: number): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#put(key, { value: entry.value, askedMs: nowMs });
    return entry.value;
  }

  set(key: string, value: T, nowMs: number): void {
    this.#put(key, { value, askedMs: nowMs });
    for (const [oldest, { askedMs }] of this.#entries) {
      if (this.#entries.size <= this.#max && nowMs - askedMs < this.#idleMs) return;
      this.#entries.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  #put(key: string, entry: Entry<T>): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
  }
}
