/** A wish that one loop tells another. Set while nobody waits, it is remembered once. */
export class Signal {
  #set = false;
  #wake: (() => void) | undefined;

  set(): void {
    this.#set = true;
    this.#wake?.();
  }

  /** Waits until it is set, `milliseconds` have passed or `stop` is aborted. Clears it. */
  async wait(milliseconds: number, stop: AbortSignal): Promise<void> {
    if (!this.#set && !stop.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, milliseconds);
      stop.addEventListener("abort", resolve as () => void, { once: true });
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
      stop.removeEventListener("abort", resolve as () => void);
      this.#wake = undefined;
    }
    this.#set = false;
  }
}
