import type { Address, Hex } from "viem";
import { identityToHash } from "./identity.ts";
import { requireProposal } from "./proposal.ts";
import { openRegistry, type RegistryPlace } from "./registry.ts";
import { hasEnded, readBaselineOf } from "./registry-reads.ts";

/** Where an approved baseline stands: the chain, the contract, and what its state says. By the endpoint's word. */
export interface Provenance {
  readonly chainId: bigint;
  readonly contract: Address;
  readonly block: bigint;
  readonly proposal: Hex;
  readonly root: Hex;
  readonly approvals: number;
}

/**
 * Where the approved baseline of an image stands; null when there is none. Throws `ledger-unreachable`,
 * `ledger-no-registry`, `ledger-unverified`.
 */
export async function readProvenance(place: RegistryPlace, identity: string): Promise<Provenance | null> {
  const registry = await openRegistry(place);
  const { status, id, root, until } = await readBaselineOf(registry, identityToHash(identity));
  if (status !== "approved" || hasEnded(until)) return null;
  const { approvals } = await requireProposal(registry, id);
  const { chainId, address, block } = registry;
  return { chainId, contract: address, block: block.number, proposal: id, root, approvals };
}
