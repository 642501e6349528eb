import { type KeyObject, randomBytes } from "node:crypto";
import { type HostState, keyOf } from "../attest/host-state.ts";
import { checkOrder, type Order, type SignedOrder } from "../attest/order.ts";
import { type ContainerRef, containerKey } from "../container/types.ts";
import { printable } from "../core/bytes.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { describeError } from "../core/errors.ts";
import type { Action, ActionEvent } from "../log/event.ts";
import { ActionLimit, mayActOn, type Policy } from "../respond/policy.ts";

export interface OrderTakerOptions {
  /** Name of this host. */
  readonly host: string;
  readonly policy: Policy;
  /** Where the agent itself runs, when that is a container. */
  readonly ownContainer: ContainerRef | null;
  readonly clock: Clock;
  /** The verifier's key for orders, null as long as there is none: then no orders are taken. */
  key(): Promise<KeyObject | null>;
  act(action: Action, container: ContainerRef): Promise<string>;
  /** One sentence for the operator. */
  report(text: string): void;
}

/** Refusals that are logged within a minute: a verifier gone mad must not fill the log. */
const MAX_REFUSALS = 10;

/**
 * Carries out the verifier's orders. Each is an answer to one request of this process, by a challenge that is random and
 * never stored, so that no order can be used twice, later, elsewhere, or by an agent that was started again.
 */
export class OrderTaker {
  readonly #options: OrderTakerOptions;
  readonly #refusals = new ActionLimit(MAX_REFUSALS);
  #said = "";

  constructor(options: OrderTakerOptions) {
    this.#options = options;
  }

  /** For one request for an order; undefined where none is taken. */
  async challenge(): Promise<string | undefined> {
    return (await this.#key()) === null ? undefined : randomBytes(32).toString("hex");
  }

  /** A key that is damaged is told of, and keeps nobody from attesting. */
  async #key(): Promise<KeyObject | null> {
    try {
      return await this.#options.key();
    } catch (error) {
      const text = `no orders are taken: ${describeError(error)}`;
      if (text !== this.#said) this.#options.report(text);
      this.#said = text;
      return null;
    }
  }

  /**
   * Does what an order says if it answers the request with this challenge and may be carried out here, within `limit`. Gives
   * what is to be logged; null for what is not even the verifier's.
   */
  async carryOut(
    signed: SignedOrder,
    challenge: string,
    state: HostState,
    limit: ActionLimit,
  ): Promise<ActionEvent | null> {
    const { host, clock, report } = this.#options;
    const key = await this.#key();
    if (key === null) return null;
    const checked = checkOrder(signed, { key, host, challenge, nowMs: clock.now() });
    const { order } = checked;
    if (order === null) {
      report(`refused: ${checked.accepted ? "" : checked.text}`);
      return null;
    }
    const why = checked.accepted ? this.#hindrance(order, state) : checked.text;
    if (why === null) return this.#act(order, state, limit);
    if (!this.#refusals.take(clock.monotonicMs())) return null;
    return this.#event(order, state, "refused", why);
  }

  /** Why a genuine order is not carried out here; null where nothing speaks against it. */
  #hindrance({ container, action }: Order, state: HostState): string | null {
    const { policy, ownContainer } = this.#options;
    const known = state.containers.get(keyOf(container));
    if (known === undefined) return "no such container is known here";
    if (known.stoppedAt !== null) return "the container has stopped";
    if (ownContainer !== null && containerKey(ownContainer) === keyOf(container)) return "the agent itself runs in it";
    if (!policy.orders.includes(action)) return `policy.orders of this host does not have ${action}`;
    if (!mayActOn(policy, known.container.name)) return "policy.containers of this host does not have it";
    return null;
  }

  async #act(order: Order, state: HostState, limit: ActionLimit): Promise<ActionEvent> {
    const { act, clock } = this.#options;
    const [outcome, text] = await limit.act(clock.monotonicMs(), () => act(order.action, order.container));
    return this.#event(order, state, outcome, text);
  }

  #event(order: Order, state: HostState, outcome: ActionEvent["outcome"], text: string): ActionEvent {
    const { clock, report } = this.#options;
    const { id, by, action, reason } = order;
    const container = state.containers.get(keyOf(order.container))?.container ?? {
      ...order.container,
      name: "",
      image: null,
    };
    report(`order ${id} to ${action} ${printable(container.name || container.id)}: ${outcome}, ${text}`);
    return {
      ...{ type: "action", time: rfc3339(clock.now()), action, container, reason: null, by: "order" },
      ...{ order: { id, by, reason }, outcome, text },
    };
  }
}
