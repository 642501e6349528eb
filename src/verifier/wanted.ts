/** Where who wants an attestation of a host now, and the agent that asks what is wanted, meet. */
export class Wanted<Outcome> {
  #isWanted = false;
  readonly #agents = new Set<() => void>();
  readonly #waiters = new Set<(outcome: Outcome) => void>();

  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** The agent has begun to give one. */
  begin(): void {
    this.#isWanted = false;
  }

  /** One was appraised: whoever waits for it has it. */
  end(outcome: Outcome): void {
    for (const waiter of this.#waiters) waiter(outcome);
    this.#waiters.clear();
  }

  /** Lets the agent that asks what is wanted come back, as there is something. */
  wake(): void {
    for (const wake of this.#agents) wake();
  }

  /** Wants one now and waits for its outcome, at most `timeoutMs`; null when none came, or who asks has gone. */
  async ask(timeoutMs: number, gone?: AbortSignal): Promise<Outcome | null> {
    const { promise, resolve } = Promise.withResolvers<Outcome | null>();
    this.#waiters.add(resolve);
    const timer = setTimeout(() => resolve(null), timeoutMs);
    gone?.addEventListener("abort", () => resolve(null), { once: true });
    this.#isWanted = true;
    this.wake();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(resolve);
    }
  }

  /** Waits until somebody wakes the agent, at most `timeoutMs`, or the agent has gone. */
  async wait(timeoutMs: number, gone: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    gone.addEventListener("abort", () => resolve(), { once: true });
    this.#agents.add(resolve);
    await promise;
    clearTimeout(timer);
    this.#agents.delete(resolve);
  }
}
