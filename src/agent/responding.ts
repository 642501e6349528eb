import { type HostState, isHeld, keyOf } from "../attest/host-state.ts";
import type { ContainerRef } from "../container/types.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import type { Action, ActionEvent } from "../log/event.ts";
import type { Finding } from "../log/finding.ts";
import { type ActionLimit, actionFor, type Policy } from "../respond/policy.ts";

/** A finding, and processes of its container that are known. */
export interface Culprit {
  readonly finding: Finding;
  readonly pids: readonly number[];
}

/** Acts on a container, of which some processes are known, and tells who did it. */
export type Act = (action: Action, container: ContainerRef, pids?: readonly number[]) => Promise<string>;

/** Does what the policy says about violations, to containers that do not stand still already. */
export class Responding {
  readonly #state: HostState;
  readonly #policy: Policy;
  readonly #limit: ActionLimit;
  readonly #clock: Clock;
  readonly #act: Act;

  constructor(
    state: HostState,
    policy: Policy,
    modules: { readonly clock: Clock; readonly act: Act },
    limit: ActionLimit,
  ) {
    this.#state = state;
    this.#policy = policy;
    this.#limit = limit;
    this.#clock = modules.clock;
    this.#act = modules.act;
  }

  /** Whether anything is to be done about this. */
  concerns({ container, reason }: Finding): boolean {
    return container !== null && actionFor(this.#policy, reason, container.name) === "pause";
  }

  /** Acts, unless the container stands still already. What was done, or why not; null for nothing. */
  async respond({ finding, pids }: Culprit): Promise<ActionEvent | null> {
    const { container, reason } = finding;
    if (container === null || !this.concerns(finding)) return null;
    const known = this.#state.containers.get(keyOf(container));
    if (known !== undefined && isHeld(known)) return null;
    const [outcome, text] = await this.#limit.act(this.#clock.monotonicMs(), () =>
      this.#act("pause", container, [finding.pid, ...pids]),
    );
    const time = rfc3339(this.#clock.now());
    return { type: "action", time, action: "pause", container, reason, by: "policy", outcome, text };
  }
}
