import { setTimeout as sleep } from "node:timers/promises";
import { fetchPage } from "./wait-http.ts";

/** Requests to one server, one after the other, until it is stopped. */
export class Traffic {
  answered = 0;
  failed = 0;
  readonly #socketPath: string;
  #stopped = false;
  readonly #loop: Promise<void>;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.#loop = this.#run();
  }

  /** Whether one more request is answered, within half a second. */
  async answersOneMore(): Promise<boolean> {
    try {
      await fetchPage(this.#socketPath, 500);
      return true;
    } catch {
      return false;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await fetchPage(this.#socketPath, 1000);
        this.answered++;
      } catch {
        this.failed++;
      }
      await sleep(20);
    }
  }
}
