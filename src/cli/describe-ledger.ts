import type { LedgerReport } from "../attest/report.ts";
import { printable } from "../core/bytes.ts";

/** What a verifier knows of its ledger, as lines for a person: which block, why it is believed, and who is at fault. */
export function describeLedger(ledger: LedgerReport): string[] {
  const { registry, chainId, block, belief, problem, endpoints, warnings } = ledger;
  const lines = [`ledger: registry ${registry}${chainId === null ? "" : ` on chain ${chainId}`}`];
  if (problem !== null)
    lines.push(
      `  nothing is proved now, ${problem.code}: ${printable(problem.text)}`,
      `  an approval holds for ${duration(ledger.holdMs)} after it was read last`,
    );
  lines.push(block === null ? `  no block is known yet: ${belief}` : `  ${describeBlock(block)}: ${belief}`);
  for (const { endpoint, client, fault } of endpoints) {
    const who = `  endpoint ${printable(endpoint)}${client === null ? "" : ` (${printable(client)})`}`;
    lines.push(fault === null ? who : `${who} is at fault since ${fault.since}: ${printable(fault.text)}`);
  }
  for (const warning of warnings) lines.push(`  ${printable(warning)}`);
  return lines;
}

function describeBlock({ number, time, ageMs, readAt }: NonNullable<LedgerReport["block"]>): string {
  return `block ${number} of ${time}, ${duration(Math.max(0, ageMs))} old, read last at ${readAt}`;
}

/** In the largest unit of which it has two: what has to be understood at a glance. */
function duration(milliseconds: number): string {
  const units = [
    ["days", 86_400_000],
    ["hours", 3_600_000],
    ["minutes", 60_000],
  ] as const;
  for (const [name, length] of units)
    if (milliseconds >= 2 * length) return `${Math.floor(milliseconds / length)} ${name}`;
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 1 : 0)} s`;
}
