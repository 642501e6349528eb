import { rfc3339 } from "../core/clock.ts";
import { LAST_SECOND } from "../ledger/baseline-end.ts";
import type { Header } from "../ledger/block-header.ts";

/** A block as a person can look it up, and how long before the evidence it was made. `acceptedAt`: RFC 3339. */
export function describeBlock({ number, hash, timestamp }: Header, acceptedAt: string): string {
  if (timestamp > LAST_SECOND) return `block ${number} ${hash} of no year that there is`;
  const seconds = Math.round(Date.parse(acceptedAt) / 1000) - Number(timestamp);
  const age = seconds < 0 ? `${lengthOf(-seconds)} after` : `${lengthOf(seconds)} before`;
  return `block ${number} ${hash} of ${rfc3339(Number(timestamp) * 1000)}, ${age} the evidence was accepted`;
}

const UNITS = [
  [86_400, "days"],
  [3600, "hours"],
  [60, "minutes"],
] as const;

/** In the largest unit of which there are two. */
function lengthOf(seconds: number): string {
  const [size, unit] = UNITS.find(([length]) => seconds >= 2 * length) ?? [1, "seconds"];
  return seconds === 1 ? "1 second" : `${Math.floor(seconds / size)} ${unit}`;
}
