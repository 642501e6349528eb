import { z } from "zod";
import { listenerPolicySchema } from "../attest/listener-policy.ts";
import { ORDER_ACTIONS } from "../attest/order.ts";
import { startPolicySchema } from "../attest/start-policy.ts";
import { describeError } from "../core/errors.ts";
import { matchesGlob } from "../core/glob.ts";
import { REASONS, type Reason } from "../log/finding.ts";

export const policySchema = z.strictObject({
  /** What each reason leads to; a reason that is not named leads to an alert only. */
  actions: z.partialRecord(z.enum(REASONS), z.enum(["alert", "pause"])).default({}),
  /** Names of the containers that may be acted on, `*` for any characters; all others lead to alerts only. */
  containers: z.array(z.string().min(1).max(256)).max(256).default(["*"]),
  /** What the verifier may order to be done to them. */
  orders: z
    .array(z.enum(ORDER_ACTIONS))
    .max(ORDER_ACTIONS.length)
    .default([...ORDER_ACTIONS]),
  /** Actions on containers within a minute, alerts only beyond: a wrong baseline must not stop a whole host. */
  maxActionsPerMinute: z.int().min(0).max(1000).default(10),
  /** How containers may be started that would be a finding otherwise. */
  starts: startPolicySchema.default([]),
  /** What containers may listen on besides what their image exposes. */
  listeners: listenerPolicySchema.default([]),
});
export type Policy = z.infer<typeof policySchema>;
export type PolicyAction = "alert" | "pause";

/** Whether the container of this name may be acted on at all. */
export function mayActOn(policy: Policy, container: string): boolean {
  return policy.containers.some((pattern) => matchesGlob(pattern, container));
}

/** What a reason leads to in the container of this name. */
export function actionFor(policy: Policy, reason: Reason, container: string): PolicyAction {
  if (!mayActOn(policy, container)) return "alert";
  return policy.actions[reason] ?? "alert";
}

/** Of what is said of an action. */
const MAX_TEXT = 1000;

/** Counts actions in the last minute. Times are monotonic milliseconds. */
export class ActionLimit {
  readonly #limit: number;
  readonly #times: number[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** True, and counted, when one more action is within the limit. */
  take(nowMs: number): boolean {
    while (this.#times.length > 0 && this.#times[0]! <= nowMs - 60_000) this.#times.shift();
    if (this.#times.length >= this.#limit) return false;
    this.#times.push(nowMs);
    return true;
  }

  /** Acts within the limit: how it ended, and in words, which are bounded since a runtime may say much. */
  async act(nowMs: number, action: () => Promise<string>): Promise<["done" | "failed" | "suppressed", string]> {
    if (!this.take(nowMs)) return ["suppressed", "the limit of actions in a minute is reached"];
    try {
      return ["done", (await action()).slice(0, MAX_TEXT)];
    } catch (error) {
      return ["failed", describeError(error).slice(0, MAX_TEXT)];
    }
  }
}
