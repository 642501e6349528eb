import type { Hex } from "viem";
import type { Baseline } from "../baseline/format.ts";
import { hashToIdentity, identityToHash, parseProposalId, zeroHash } from "./identity.ts";
import { type Proposal, readProposal, requireProposal } from "./proposal.ts";
import { rebuildBaseline } from "./rebuild.ts";
import { openRegistry, type Registry, type RegistryPlace } from "./registry.ts";
import { hasEnded, readBaselineOf, readLatestProposal, readList } from "./registry-reads.ts";
import { garbage } from "./rpc.ts";

/**
 * What the ledger says for an image. Only `approved` is a baseline; `proposed` lacks data or signatures, `revoked` was
 * taken back, `superseded` has ended because another image took its place. `until`: seconds since 1970 UTC, zero: no end.
 */
export type LedgerBaseline =
  | {
      status: "approved";
      baseline: Baseline;
      id: Hex;
      root: Uint8Array;
      approvals: number;
      block: bigint;
      until: bigint;
    }
  | { status: "revoked" | "superseded"; id: Hex; block: bigint; until: bigint }
  | { status: "proposed"; id: Hex; root: Uint8Array; approvals: number; block: bigint }
  | { status: "none"; block: bigint };

/**
 * The baseline of an image, rebuilt from the chain's event data and checked against what the publishers signed.
 * Whether it has ended is decided by `nowMs` (milliseconds since 1970 UTC), the clock of this machine by default.
 * That they signed is the endpoint's word: state is not yet proven against a block header.
 * Throws `ledger-unreachable`, `ledger-no-registry`, `ledger-unverified`, `baseline-altered`.
 */
export async function readBaseline(
  place: RegistryPlace & { identity: string; nowMs?: number },
): Promise<LedgerBaseline> {
  const identity = identityToHash(place.identity);
  const registry = await openRegistry(place);
  const block = registry.block.number;
  const { status, id, root, until } = await readBaselineOf(registry, identity);
  if (status === "none") return { status, block };
  if (status === "revoked") return { status, id, block, until };
  if (status === "approved" && hasEnded(until, place.nowMs)) return { status: "superseded", id, block, until };
  if (status === "approved") {
    const proposal = await proposalFor(registry, identity, id);
    if (proposal.root !== root || proposal.status !== "approved") throw garbage(place.url, "two answers that differ");
    const baseline = await rebuildBaseline(registry, proposal);
    return { status, baseline, id, root: baseline.root, approvals: proposal.approvals, block, until };
  }
  const latest = await readLatestProposal(registry, identity);
  const proposal = await proposalFor(registry, identity, latest);
  const rootBytes = new Uint8Array(Buffer.from(proposal.root.slice(2), "hex"));
  return { status: "proposed", id: latest, root: rootBytes, approvals: proposal.approvals, block };
}

/** A proposal by its id, whatever its status, with the baseline that it proposes. Throws as `readBaseline`. */
export async function readProposedBaseline(
  place: RegistryPlace & { id: string },
): Promise<{ proposal: Proposal; baseline: Baseline }> {
  const registry = await openRegistry(place);
  const proposal = await requireProposal(registry, parseProposalId(place.id));
  return { proposal, baseline: await rebuildBaseline(registry, proposal) };
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
}

const pageSize = 100n;
const mostListed = 100_000;

/** All identities of the ledger, in the order of their first proposals, by the endpoint's word. */
export async function listBaselines(place: RegistryPlace & { nowMs?: number }): Promise<ListedBaseline[]> {
  const registry = await openRegistry(place);
  const listed: ListedBaseline[] = [];
  for (;;) {
    const page = await readList(registry, BigInt(listed.length), pageSize);
    for (const { status, identity, id, root, lines, until } of page) {
      if (status === "none" || status === "outdated") throw garbage(place.url, "unknown status");
      const now = status === "approved" && hasEnded(until, place.nowMs) ? "superseded" : status;
      listed.push({ identity: hashToIdentity(identity), status: now, id, root, lines, until: Number(until) });
    }
    if (BigInt(page.length) < pageSize) return listed;
    if (listed.length > mostListed) throw garbage(place.url, "too many identities");
  }
}

async function proposalFor(registry: Registry, identity: Hex, id: Hex): Promise<Proposal> {
  const proposal = id === zeroHash ? null : await readProposal(registry, id);
  if (proposal?.identity !== identity) throw garbage(registry.rpc.url, "a proposal of another identity");
  return proposal;
}
