/** Work that builds on the state that the work before it left: one at a time, in the order of the calls. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;

  /** Does the work when it is its turn; undefined when that is over. Throws what the work throws. */
  take<T>(work: () => Promise<T>): Promise<T | undefined> {
    const result = this.#last.then(() => (this.#ended ? undefined : work()));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** No further work is begun. */
  end(): void {
    this.#ended = true;
  }
}
