import type { Hex } from "viem";
import type { Baseline } from "../baseline/format.ts";
import { PimsError } from "../core/errors.ts";
import { hasEnded } from "./contract/baseline-end.ts";
import { hashToIdentity, identityToHash, parseProposalId } from "./contract/identity.ts";
import { openLedger, type RegistryPlace } from "./open-ledger.ts";
import { type KeptProposal, type Proposal, requireProposal } from "./proposal.ts";
import type { ReadAt } from "./proved-contract.ts";
import { type LastProposal, readIdentities, readIdentityCount, readLast, readOpenBeside } from "./registry-reads.ts";

/**
 * What the ledger says for an image. Only `approved` is a baseline; `proposed` lacks data or signatures, `revoked` was
 * taken back, `superseded` has ended because another image took its place. `proposal`: the one approved last, or while
 * there is none that proposed last.
 */
export type LedgerBaseline = { at: ReadAt } & (
  | { status: "approved"; baseline: Baseline; proposal: KeptProposal }
  | { status: "proposed" | "revoked" | "superseded"; proposal: KeptProposal }
  | { status: "none" }
);

/**
 * The baseline of an image, rebuilt from the chain's event data and checked against what the publishers signed, which is
 * proved. Whether it has ended is decided by `nowMs` (milliseconds since 1970 UTC), the clock of this machine by default.
 * Throws `ledger-unreachable`, `ledger-no-registry`, `ledger-unverified`, `baseline-altered`.
 */
export async function readBaseline({
  identity,
  nowMs,
  ...place
}: RegistryPlace & { identity: string; nowMs?: number }): Promise<LedgerBaseline> {
  const ledger = openLedger(place);
  const at = await ledger.contract("BaselineRegistry");
  const [last] = await readLast(at, [identityToHash(identity)]);
  if (!last) return { status: "none", at };
  const { proposal } = last;
  const status = statusNow(last, nowMs);
  if (status !== "approved") return { status, proposal, at };
  return { status, proposal, baseline: await ledger.baselineOf(proposal), at };
}

/** A proposal by its id, whatever its status, with the baseline that it proposes. Throws as `readBaseline`. */
export async function readProposedBaseline({
  id,
  ...place
}: RegistryPlace & { id: string }): Promise<{ proposal: Proposal; baseline: Baseline; at: ReadAt }> {
  const ledger = openLedger(place);
  const at = await ledger.contract("BaselineRegistry");
  const proposal = await requireProposal(at, parseProposalId(id));
  return { proposal, baseline: await ledger.baselineOf(proposal), at };
}

/** One identity that the ledger knows. `root` is the one approved last, or while there is none that proposed last. */
export interface ListedBaseline {
  identity: string;
  status: "approved" | "proposed" | "revoked" | "superseded";
  id: Hex;
  root: Hex;
  lines: number;
  /** Seconds since 1970 UTC; zero: no end. */
  until: number;
  /** What was proposed last, where it is another one and can still be approved. */
  proposed: { id: Hex; root: Hex; lines: number } | null;
}

const PAGE = 100;
const MOST_LISTED = 100_000;

/** All identities of the ledger, in the order of their first proposals. Throws as `readBaseline`. */
export async function listBaselines({
  nowMs,
  ...place
}: RegistryPlace & { nowMs?: number }): Promise<{ baselines: ListedBaseline[]; at: ReadAt }> {
  const at = await openLedger(place).contract("BaselineRegistry");
  const count = await readIdentityCount(at);
  if (count > MOST_LISTED)
    throw new PimsError("ledger-unverified", `the registry has ${count} identities, more than can be listed`);
  const baselines: ListedBaseline[] = [];
  for (let from = 0; from < count; from += PAGE) {
    const identities = await readIdentities(at, from, Math.min(from + PAGE, count));
    const known = (await readLast(at, identities)).map((last) => {
      // What stands in the list was proposed: the contract puts it there with the first proposal.
      if (last === null) throw new PimsError("ledger-unverified", "what the registry's state lists cannot be right");
      return last;
    });
    const open = await readOpenBeside(at, known);
    for (const [index, last] of known.entries()) {
      const { id, root, lines, until } = last.proposal;
      const identity = hashToIdentity(last.identity);
      const beside = open[index] ?? null;
      const proposed = beside && { id: beside.id, root: beside.root, lines: beside.lines };
      baselines.push({ identity, status: statusNow(last, nowMs), id, root, lines, until: Number(until), proposed });
    }
  }
  return { baselines, at };
}

function statusNow({ status, proposal }: LastProposal, nowMs: number | undefined) {
  return status === "approved" && hasEnded(proposal.until, nowMs) ? "superseded" : status;
}
