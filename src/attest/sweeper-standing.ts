import type { HostState } from "./host-state.ts";
import type { HostStanding } from "./verdict.ts";

/** What a sweeper may stand still when nothing is configured: a busy machine and one slow file are no alarm. */
const PAUSE_INTERVALS = 10;
const LEAST_PAUSE_MS = 30_000;

/** Evidence may be fresh while the sweeper under it stood still. Without `maxPauseMs` ten of the agent's intervals, at least 30 s. */
export function sweeperStanding(
  { longestPauseMs, sweepIntervalMs }: Pick<HostState, "longestPauseMs" | "sweepIntervalMs">,
  maxPauseMs?: number,
): HostStanding {
  const allowedMs = maxPauseMs ?? Math.max(LEAST_PAUSE_MS, PAUSE_INTERVALS * (sweepIntervalMs ?? 0));
  if (longestPauseMs <= allowedMs) return { standing: "good" };
  const [stood, allowed] = [longestPauseMs, allowedMs].map((value) => (value / 1000).toFixed(1));
  return { standing: "stale", text: `no sweep of the host ended for ${stood} s, and ${allowed} s are allowed` };
}
