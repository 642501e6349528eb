import { randomBytes } from "node:crypto";

const NONCE_BYTES = 32;
const LIFETIME_MS = 60_000;
const MAX_OPEN = 16;

/** Nonces given to one host: random, used once, and gone after a minute. */
export class Nonces {
  readonly #open = new Map<string, number>();

  /** A new nonce in hexadecimal. `nowMs` is monotonic. */
  give(nowMs: number): string {
    while (this.#open.size >= MAX_OPEN) this.#open.delete(this.#open.keys().next().value!);
    const nonce = randomBytes(NONCE_BYTES).toString("hex");
    this.#open.set(nonce, nowMs + LIFETIME_MS);
    return nonce;
  }

  /**
   * Whether this nonce is open. Afterwards neither it nor any that was given before it is: evidence that comes after newer
   * evidence has come too late.
   */
  take(nonce: string, nowMs: number): boolean {
    const until = this.#open.get(nonce);
    if (until === undefined) return false;
    // In the order in which they were given.
    for (const older of this.#open.keys()) {
      this.#open.delete(older);
      if (older === nonce) break;
    }
    return nowMs <= until;
  }
}
