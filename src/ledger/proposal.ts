import { type Address, encodeAbiParameters, type Hex, keccak256, parseAbiParameters } from "viem";
import { PimsError } from "../core/errors.ts";
import { LAST_SECOND } from "./contract/baseline-end.ts";
import { maxChunks } from "./contract/entry-data.ts";
import { zeroHash } from "./contract/identity.ts";
import {
  currentSlot,
  governanceSlot,
  parseBlocks,
  parseGovernance,
  parseParts,
  parseStanding,
  proposalSlot,
  revisionSlot,
} from "./contract/registry-storage.ts";
import type { ProvedContract } from "./proved-contract.ts";

/** What a proposal consists of; its id is a hash over all of it, the chain and the contract. */
export interface ProposalParts {
  epoch: number;
  identity: Hex;
  revision: bigint;
  root: Hex;
  dataHash: Hex;
  chunks: number;
  lines: number;
}

/** `Status` of contracts/BaselineRegistry.sol. */
export type ProposalStatus = "proposed" | "approved" | "superseded" | "outdated" | "revoked";

/** What a reader of a proposal needs; its parts are known to be those that its id names. */
export interface ProposalBody extends ProposalParts {
  id: Hex;
  proposer: Hex;
  delivered: number;
  firstBlock: bigint;
  lastBlock: bigint;
  approvals: number;
  /** When it ends, seconds since 1970 UTC; zero: no end. */
  until: bigint;
}

/** What the registry keeps of it. */
export interface KeptProposal extends ProposalBody {
  approved: boolean;
  revoked: boolean;
}

/** The same with what follows from it and its image's other proposals. */
export interface Proposal extends ProposalBody {
  status: ProposalStatus;
}

const idParameters = parseAbiParameters("uint256, address, uint32, bytes32, uint64, bytes32, bytes32, uint32, uint32");

/** The id of a proposal, as the contract's `proposalId` computes it. */
export function proposalId(place: { chainId: bigint; address: Address }, parts: ProposalParts): Hex {
  const { epoch, identity, revision, root, dataHash, chunks, lines } = parts;
  return keccak256(
    encodeAbiParameters(idParameters, [
      place.chainId,
      place.address,
      epoch,
      identity,
      revision,
      root,
      dataHash,
      chunks,
      lines,
    ]),
  );
}

const WORDS = ["identity", "root", "dataHash", "parts", "blocks", "standing"] as const;

/** The slots of what the registry keeps of a proposal, in the order in which `parseKept` takes their words. */
export function keptSlots(id: Hex): Hex[] {
  return WORDS.map((word) => proposalSlot(id, word));
}

/**
 * What the registry keeps of proposals, in the order of their ids; null for those that it does not have. Throws
 * `ledger-unverified` when the parts of one do not make its id: whatever keeps it elsewhere is another contract.
 */
export async function readKept(registry: ProvedContract, ids: readonly Hex[]): Promise<(KeptProposal | null)[]> {
  const words = await registry.words(ids.flatMap(keptSlots));
  return ids.map((id, index) => parseKept(registry, id, words.slice(index * WORDS.length, (index + 1) * WORDS.length)));
}

/** A proposal from its words, null when there is none. Throws as `readKept`. */
export function parseKept(
  place: { chainId: bigint; address: Address },
  id: Hex,
  words: readonly Hex[],
): KeptProposal | null {
  const [identity, root, dataHash, parts, blocks, standing] = words as [Hex, Hex, Hex, Hex, Hex, Hex];
  if (parts === zeroHash) return null;
  const kept = {
    ...{ id, identity, root, dataHash },
    ...parseParts(parts),
    ...parseBlocks(blocks),
    ...parseStanding(standing),
  };
  const { delivered, chunks, until } = kept;
  if (proposalId(place, kept) !== id || delivered > chunks || chunks > maxChunks || until > LAST_SECOND)
    throw new PimsError("ledger-unverified", `what the registry's state says of proposal ${id} cannot be right`);
  return kept;
}

/** A proposal by its id, null when there is none. Throws as `readKept`. */
export async function readProposal(registry: ProvedContract, id: Hex): Promise<Proposal | null> {
  const [proposal] = await readKept(registry, [id]);
  if (!proposal) return null;
  const { approved, revoked, ...kept } = proposal;
  const slots = [currentSlot(kept.identity), revisionSlot(kept.identity), governanceSlot];
  const [current, revision, governance] = (await registry.words(slots)) as [Hex, Hex, Hex];
  const isOpen = kept.revision === BigInt(revision) && kept.epoch === parseGovernance(governance).epoch;
  if (revoked) return { ...kept, status: "revoked" };
  if (approved) return { ...kept, status: current === id ? "approved" : "superseded" };
  return { ...kept, status: isOpen ? "proposed" : "outdated" };
}

/** The same, for those who need one. Throws `ledger-refused` when there is none. */
export async function requireProposal(registry: ProvedContract, id: Hex): Promise<Proposal> {
  const proposal = await readProposal(registry, id);
  if (proposal !== null) return proposal;
  throw new PimsError("ledger-refused", `the registry has no proposal ${id} at block ${registry.block.number}`, {
    hint: "give the id that pims baseline publish printed; what is newer is read once enough blocks are above it",
  });
}
