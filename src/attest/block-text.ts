import { lengthOf, rfc3339 } from "../core/clock.ts";
import { LAST_SECOND } from "../ledger/contract/baseline-end.ts";
import type { Header } from "../ledger/header/block-header.ts";

/** A block as a person can look it up, and how long before the evidence it was made. `acceptedAt`: RFC 3339. */
export function describeBlock({ number, hash, timestamp }: Header, acceptedAt: string): string {
  if (timestamp > LAST_SECOND) return `block ${number} ${hash} of no year that there is`;
  const seconds = Math.round(Date.parse(acceptedAt) / 1000) - Number(timestamp);
  const age = seconds < 0 ? `${lengthOf(-seconds)} after` : `${lengthOf(seconds)} before`;
  return `block ${number} ${hash} of ${rfc3339(Number(timestamp) * 1000)}, ${age} the evidence was accepted`;
}
