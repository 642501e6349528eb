import type { HostState } from "./host-state.ts";
import type { HostStanding } from "./verdict.ts";

/** What a sweeper may stand still when nothing is configured: a busy machine and one slow file are no alarm. */
const PAUSE_INTERVALS = 10;
const LEAST_PAUSE_MS = 30_000;

/**
 * Evidence may be fresh while the sweeper under it stood still: since the evidence before, or for longer than `maxPauseMs`;
 * without that ten of the agent's intervals, at least 30 s.
 */
export function sweeperStanding(
  { lastSweep, longestPauseMs, sweepIntervalMs }: Pick<HostState, "lastSweep" | "longestPauseMs" | "sweepIntervalMs">,
  maxPauseMs?: number,
): HostStanding {
  const allowedMs = maxPauseMs ?? Math.max(LEAST_PAUSE_MS, PAUSE_INTERVALS * (sweepIntervalMs ?? 0));
  const [stood, allowed] = [longestPauseMs, allowedMs].map((value) => (value / 1000).toFixed(1));
  if (longestPauseMs > allowedMs)
    return { standing: "stale", text: `no sweep of the host ended for ${stood} s, and ${allowed} s are allowed` };
  // What such evidence tells of is proved all the same: a sweeper that is made to hang must not keep findings back.
  if (lastSweep?.sweeps === 0) return { standing: "stale", text: "the host was not swept since its last evidence" };
  return { standing: "good" };
}
