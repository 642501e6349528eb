import { bytesToHex, encodeFunctionData, type Hex } from "viem";
import { parseBaseline } from "../baseline/format.ts";
import { toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { packLines } from "./contract/entry-data.ts";
import { identityToHash } from "./contract/identity.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openLedger, type RegistryPlace } from "./open-ledger.ts";
import { proposalId, readProposal } from "./proposal.ts";
import { type ReadAt, sendTo } from "./proved-contract.ts";
import { readGovernance, readLast, readRevision } from "./registry-reads.ts";
import { settleRegistry } from "./settle.ts";

export interface Proposing extends RegistryPlace {
  /** A publisher's. By proposing it signs as the first of the quorum. */
  key: LedgerKey;
  /** A baseline's lines, header first. */
  lines: readonly string[];
  /** Called after each transaction. */
  onProgress?: (done: number, total: number) => void;
}

/** What was sent: transactions of this call only, gas in units. */
export interface Proposed {
  id: Hex;
  root: Uint8Array;
  transactions: number;
  gas: bigint;
  /** Where the whole proposal was proved to be there; null: an endpoint says that it is, the proved state does not show it yet. */
  at: ReadAt | null;
}

/**
 * Proposes a baseline and delivers its entry data. Broken off and run again with the same lines, it goes on where it
 * stopped. Throws `baseline-malformed`, `baseline-too-large`, `already-approved`, `ledger-refused`, `ledger-unreachable`,
 * `ledger-unverified`.
 */
export async function proposeBaseline({ key, lines, onProgress, ...place }: Proposing): Promise<Proposed> {
  const baseline = parseBaseline(lines);
  const root: Hex = `0x${toHex(baseline.root)}`;
  const identity = identityToHash(baseline.header.identity);
  const { chunks, links } = packLines(lines);
  const ledger = openLedger(place);
  const registry = await ledger.contract("BaselineRegistry");
  const [last] = await readLast(registry, [identity]);
  if (last?.status === "approved" && last.proposal.root === root && last.proposal.until === 0n) {
    throw new PimsError("already-approved", `this is the approved baseline of ${baseline.header.identity} already`);
  }
  const { epoch } = await readGovernance(registry);
  const revision = await readRevision(registry, identity);
  const parts = { epoch, identity, revision, root, dataHash: links[0]!, chunks: chunks.length, lines: lines.length };
  const id = proposalId(registry, parts);
  const known = await readProposal(registry, id);
  const calls: Hex[] = [];
  if (known === null) {
    const args = [identity, root, parts.dataHash, parts.chunks, parts.lines] as const;
    calls.push(encodeFunctionData({ abi, functionName: "propose", args }));
  }
  for (let index = known?.delivered ?? 0; index < chunks.length; index++) {
    const args = [id, index, bytesToHex(chunks[index]!), links[index + 1]!] as const;
    calls.push(encodeFunctionData({ abi, functionName: "deliver", args }));
  }
  let gas = 0n;
  for (const [sent, data] of calls.entries()) {
    gas += (await sendTo(registry, key, data)).gasUsed;
    onProgress?.(sent + 1, calls.length);
  }
  const settled = await settleRegistry(
    ledger,
    async (now) => (await readProposal(now, id))?.delivered === chunks.length || null,
    place,
  );
  return { id, root: baseline.root, transactions: calls.length, gas, at: settled?.at ?? null };
}
