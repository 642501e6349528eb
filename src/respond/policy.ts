import { z } from "zod";
import { REASONS, type Reason } from "../log/finding.ts";

export const policySchema = z.strictObject({
  /** What each reason leads to; a reason that is not named leads to an alert only. */
  actions: z.partialRecord(z.enum(REASONS), z.enum(["alert", "pause"])).default({}),
  /** Actions on containers within a minute, alerts only beyond: a wrong baseline must not stop a whole host. */
  maxActionsPerMinute: z.int().min(0).max(1000).default(10),
});
export type Policy = z.infer<typeof policySchema>;
export type PolicyAction = "alert" | "pause";

export function actionFor(policy: Policy, reason: Reason): PolicyAction {
  return policy.actions[reason] ?? "alert";
}

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
}
