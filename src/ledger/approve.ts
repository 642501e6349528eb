import { encodeFunctionData } from "viem";
import { differencesFrom } from "../baseline/difference.ts";
import type { Baseline } from "../baseline/format.ts";
import { PimsError } from "../core/errors.ts";
import { hasEnded } from "./contract/baseline-end.ts";
import { parseProposalId } from "./contract/identity.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openLedger, type RegistryPlace } from "./open-ledger.ts";
import { requireProposal } from "./proposal.ts";
import { type ReadAt, sendTo } from "./proved-contract.ts";
import { hasSigned, readLast } from "./registry-reads.ts";
import { settleRegistry } from "./settle.ts";

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
  /** Where all of it was proved. */
  at: ReadAt;
}

export interface Approved {
  /**
   * `approved`: the quorum is reached, the proposal is the baseline of its identity now. `sent`: the signature is not
   * proved to be there yet, only an endpoint says that it is.
   */
  status: "approved" | "proposed" | "sent";
  approvals: number | null;
  baseline: Baseline;
  gas: bigint;
  /** Where the signature was proved to be there. */
  at: ReadAt | null;
}

/**
 * Rebuilds the proposed baseline from the chain's own data, checks it against the id, and only then signs for it. What is
 * shown is proved, and so is that the chain that is signed for has it.
 * Throws `baseline-altered`, `baseline-differs`, `ledger-refused`, `ledger-unreachable`, `ledger-unverified`.
 */
export async function approveBaseline({ key, id, expected, review, ...place }: Approving): Promise<Approved> {
  const ledger = openLedger(place);
  const registry = await ledger.contract("BaselineRegistry");
  const proposal = await requireProposal(registry, parseProposalId(id));
  const proposed = await ledger.baselineOf(proposal);
  const differences = expected === undefined ? [] : differencesFrom(expected.baseline, proposed);
  if (differences.length > 0) {
    const text = `the proposed baseline is not the one in ${expected!.from}: ${differences.join("; ")}`;
    throw new PimsError("baseline-differs", text, { hint: "find out why before anybody signs" });
  }
  const [last] = await readLast(registry, [proposal.identity]);
  const stands = last?.status === "approved" && !hasEnded(last.proposal.until);
  const approved = stands ? await ledger.baselineOf(last.proposal) : null;
  await review?.({
    ...{ proposed, approved, at: registry },
    differences: approved === null ? [] : differencesFrom(approved, proposed),
  });
  const data = encodeFunctionData({ abi, functionName: "approve", args: [proposal.id] });
  const { gasUsed: gas } = await sendTo(registry, key, data);
  const settled = await settleRegistry(
    ledger,
    async (now) => ((await hasSigned(now, proposal.id, key.address)) ? requireProposal(now, proposal.id) : null),
    place,
  );
  if (settled === null) return { status: "sent", approvals: null, baseline: proposed, gas, at: null };
  const { approvals, status } = settled.shown;
  return { status: status === "proposed" ? status : "approved", approvals, baseline: proposed, gas, at: settled.at };
}
