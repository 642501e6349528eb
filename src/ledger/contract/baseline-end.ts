/** The last second that RFC 3339 can write. */
export const LAST_SECOND = 253_402_300_799n;

/** Whether an end (seconds since 1970 UTC, zero: none) has come, by the clock of who asks (milliseconds since 1970 UTC). */
export function hasEnded(until: bigint, nowMs: number = Date.now()): boolean {
  return until !== 0n && until * 1000n <= BigInt(Math.trunc(nowMs));
}
