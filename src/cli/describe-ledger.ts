import type { LedgerReport } from "../attest/report.ts";
import { printable } from "../core/bytes.ts";
import { lengthOf } from "../core/clock.ts";

/** What a verifier knows of its ledger, as lines for a person: which block, why it is believed, and who is at fault. */
export function describeLedger(ledger: LedgerReport): string[] {
  const { registry, chainId, block, belief, problem, endpoints, warnings } = ledger;
  const lines = [`ledger: registry ${registry}${chainId === null ? "" : ` on chain ${chainId}`}`];
  if (problem !== null)
    lines.push(
      `  nothing is proved now, ${problem.code}: ${printable(problem.text)}`,
      `  an approval holds for ${lengthOf(ledger.holdMs / 1000)} after it was read last`,
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
  return `block ${number} of ${time}, ${lengthOf(Math.max(0, ageMs) / 1000)} old, read last at ${readAt}`;
}
