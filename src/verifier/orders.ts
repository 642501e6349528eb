import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { type OrderAnswer, type OrderWish, type SignedOrder, signOrder } from "../attest/order.ts";
import { pinOf } from "../attest/verifier-address.ts";
import type { Clock } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import type { LogRecord } from "../log/record.ts";
import { publicPart } from "./orders-key.ts";

interface Placed {
  readonly id: string;
  readonly wish: OrderWish;
  /** Signed and handed out, which happens once. */
  fetched: boolean;
  readonly ended: (answer: OrderAnswer) => void;
}

/** Orders that nobody has fetched yet, or whose end is not proved yet. */
const MAX_OPEN = 16;

/**
 * Operators' orders to agents. One is signed only as the answer to an agent's request and bound to that request's challenge,
 * and handed out once: an order that is lost on its way is lost. What became of it is what the host's proved log says. They
 * live in memory, so a verifier that is started again gives none of before.
 */
export class Orders {
  readonly #key: KeyObject;
  readonly #clock: Clock;
  readonly #open = new Map<string, Placed[]>();

  constructor(key: KeyObject, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
  }

  /** SubjectPublicKeyInfo in base64. */
  get publicKey(): string {
    return publicPart(this.#key);
  }

  /** By which agents' operators know the key. */
  get pin(): string {
    return pinOf(createPublicKey(this.#key));
  }

  /** Whether an order waits for its host's agent. */
  isWaiting(host: string): boolean {
    return this.#of(host).some(({ fetched }) => !fetched);
  }

  /**
   * Gives an order to a host and waits until a proved record tells how it ended, or `enough` is aborted: then it is
   * withdrawn if nobody has fetched it. PimsError `orders-full`.
   */
  async place(host: string, wish: OrderWish, enough: AbortSignal): Promise<OrderAnswer> {
    const open = this.#of(host);
    if (open.length >= MAX_OPEN)
      throw new PimsError("orders-full", `${host} has not answered ${MAX_OPEN} orders yet`, {
        hint: "look whether its agent runs",
      });
    const { promise, resolve } = Promise.withResolvers<OrderAnswer | null>();
    const placed: Placed = { id: randomBytes(16).toString("hex"), wish, fetched: false, ended: resolve };
    this.#open.set(host, [...open, placed]);
    enough.addEventListener("abort", () => resolve(null), { once: true });
    if (enough.aborted) resolve(null);
    const answer = await promise;
    this.#open.set(
      host,
      this.#of(host).filter((one) => one !== placed),
    );
    return answer ?? { id: placed.id, fetched: placed.fetched, ended: null };
  }

  /** The next order for an agent that asks with this challenge. It is handed out this once. */
  take(host: string, challenge: string): SignedOrder | null {
    const placed = this.#of(host).find(({ fetched }) => !fetched);
    if (placed === undefined) return null;
    placed.fetched = true;
    const nowMs = this.#clock.now();
    return signOrder(placed.wish, { id: placed.id, host, challenge, nowMs, key: this.#key });
  }

  /** Records of a host that have just been proved. */
  onProved(host: string, records: readonly LogRecord[]): void {
    const open = this.#of(host);
    if (open.length === 0) return;
    for (const { recnum, events } of records)
      for (const event of events) {
        if (event.type !== "action" || event.order === undefined) continue;
        const { outcome, text, order } = event;
        const placed = open.find(({ id, fetched }) => fetched && id === order.id);
        placed?.ended({ id: order.id, fetched: true, ended: { outcome, text, record: recnum } });
      }
  }

  #of(host: string): Placed[] {
    return this.#open.get(host) ?? [];
  }
}
