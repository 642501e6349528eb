import { encodeAbiParameters, type Hex, keccak256, parseAbiParameters } from "viem";
import { PimsError } from "../core/errors.ts";
import { maxChunks } from "./entry-data.ts";
import type { Registry } from "./registry.ts";
import { type ProposalStatus, readProposalState } from "./registry-reads.ts";
import { garbage } from "./rpc.ts";

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

/** A proposal whose parts are known to be those that its id names. Status, progress and signatures are the chain's word. */
export interface Proposal extends ProposalParts {
  id: Hex;
  status: ProposalStatus;
  proposer: Hex;
  delivered: number;
  firstBlock: bigint;
  lastBlock: bigint;
  approvals: number;
  /** When it ends, seconds since 1970 UTC; zero: no end. */
  until: bigint;
}

const idParameters = parseAbiParameters("uint256, address, uint32, bytes32, uint64, bytes32, bytes32, uint32, uint32");

/** The id of a proposal, as the contract's `proposalId` computes it. */
export function proposalId(place: Pick<Registry, "chainId" | "address">, parts: ProposalParts): Hex {
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

/** A proposal by its id, null when there is none. Throws `ledger-unverified` when its parts do not make its id. */
export async function readProposal(registry: Registry, id: Hex): Promise<Proposal | null> {
  const { nextHash: _, approved: __, revoked: ___, ...state } = await readProposalState(registry, id);
  if (state.status === "none") return null;
  if (proposalId(registry, state) !== id) throw garbage(registry.rpc.url, "a proposal that is not the one asked for");
  if (state.chunks > maxChunks) throw garbage(registry.rpc.url, "more pieces than a proposal can have");
  return { ...state, id };
}

/** The same, for those who need one. Throws `ledger-refused` when there is none. */
export async function requireProposal(registry: Registry, id: Hex): Promise<Proposal> {
  const proposal = await readProposal(registry, id);
  if (proposal !== null) return proposal;
  throw new PimsError("ledger-refused", `the registry has no proposal ${id}`, {
    hint: "give the id that pims baseline publish printed",
  });
}
