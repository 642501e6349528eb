import { encodeFunctionData } from "viem";
import { differencesFrom } from "../baseline/difference.ts";
import type { Baseline } from "../baseline/format.ts";
import { PimsError } from "../core/errors.ts";
import { parseProposalId } from "./identity.ts";
import type { LedgerKey } from "./keys.ts";
import { type Proposal, requireProposal } from "./proposal.ts";
import { rebuildBaseline } from "./rebuild.ts";
import { openRegistry, type Registry, type RegistryPlace } from "./registry.ts";
import { registryAbi as abi } from "./registry-abi.ts";
import { hasEnded, readBaselineOf } from "./registry-reads.ts";
import { sendTransaction } from "./send.ts";

export interface Approving extends RegistryPlace {
  /** A publisher's who has not signed for the proposal yet. */
  key: LedgerKey;
  /** The proposal's id: root and data are part of it, so nothing else can be approved by mistake. */
  id: string;
  /** What the approver built from the image, and where it is, for the message; any other is refused. Its name may differ. */
  expected?: { baseline: Baseline; from: string };
  /** Is shown what would be signed, after it was checked and before it is signed. Throws to sign nothing. */
  review?: (review: Review) => Promise<void> | void;
}

/** What an approver should look at. */
export interface Review {
  proposed: Baseline;
  /** What is approved now for the image; null when there is none. */
  approved: Baseline | null;
  /** How the proposed one differs from that, a sentence each; empty without an approved one. */
  differences: string[];
}

export interface Approved {
  /** Whether the quorum is reached: the proposal is the baseline of its identity now. */
  status: "approved" | "proposed";
  approvals: number;
  baseline: Baseline;
  gas: bigint;
}

/**
 * Rebuilds the proposed baseline from the chain's own data, checks it against the id, and only then signs for it.
 * Throws `baseline-altered`, `baseline-differs`, `ledger-refused`, `ledger-unreachable`, `ledger-unverified`.
 */
export async function approveBaseline({ key, id, expected, review, ...place }: Approving): Promise<Approved> {
  const registry = await openRegistry(place);
  const proposal = await requireProposal(registry, parseProposalId(id));
  const baseline = await rebuildBaseline(registry, proposal);
  const differences = expected === undefined ? [] : differencesFrom(expected.baseline, baseline);
  if (differences.length > 0) {
    const text = `the proposed baseline is not the one in ${expected!.from}: ${differences.join("; ")}`;
    throw new PimsError("baseline-differs", text, { hint: "find out why before anybody signs" });
  }
  if (review !== undefined) await review(await compare(registry, proposal, baseline));
  const data = encodeFunctionData({ abi, functionName: "approve", args: [proposal.id] });
  const { gasUsed } = await sendTransaction(registry.rpc, registry.chainId, key, { to: registry.address, data });
  const after = await requireProposal(await openRegistry(place), proposal.id);
  return { status: statusAfter(after), approvals: after.approvals, baseline, gas: gasUsed };
}

async function compare(registry: Registry, { identity }: Proposal, proposed: Baseline): Promise<Review> {
  const { status, id, until } = await readBaselineOf(registry, identity);
  if (status !== "approved" || hasEnded(until)) return { proposed, approved: null, differences: [] };
  const approved = await rebuildBaseline(registry, await requireProposal(registry, id));
  return { proposed, approved, differences: differencesFrom(approved, proposed) };
}

function statusAfter({ status }: Proposal): "approved" | "proposed" {
  return status === "proposed" ? "proposed" : "approved";
}
