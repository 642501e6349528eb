import { z } from "zod";
import { REASONS, type Reason } from "../log/finding.ts";

export const policySchema = z.strictObject({
  /** What each reason leads to; a reason that is not named leads to an alert only. */
  actions: z.partialRecord(z.enum(REASONS), z.enum(["alert", "pause"])).default({}),
  /** Names of the containers that may be acted on, `*` for any characters; all others lead to alerts only. */
  containers: z.array(z.string().min(1).max(256)).max(256).default(["*"]),
  /** Actions on containers within a minute, alerts only beyond: a wrong baseline must not stop a whole host. */
  maxActionsPerMinute: z.int().min(0).max(1000).default(10),
});
export type Policy = z.infer<typeof policySchema>;
export type PolicyAction = "alert" | "pause";

/** What a reason leads to in the container of this name. */
export function actionFor(policy: Policy, reason: Reason, container: string): PolicyAction {
  if (!policy.containers.some((pattern) => matches(pattern, container))) return "alert";
  return policy.actions[reason] ?? "alert";
}

/** Without a regular expression, so that no pattern takes more than linear time for each of its stars. */
function matches(pattern: string, name: string): boolean {
  const parts = pattern.split("*");
  if (parts.length === 1) return pattern === name;
  const [first, last] = [parts[0]!, parts.at(-1)!];
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > name.length - last.length) return false;
    at = found + part.length;
  }
  return true;
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
