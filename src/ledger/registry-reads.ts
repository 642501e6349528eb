import { type Address, type Hex, hexToBigInt, zeroAddress } from "viem";
import { PimsError } from "../core/errors.ts";
import { parseAddress } from "./contract/address.ts";
import { zeroHash } from "./contract/identity.ts";
import {
  currentSlot,
  governanceSlot,
  identityCountSlot,
  identitySlot,
  latestSlot,
  parseGovernance,
  publisherCountSlot,
  publisherSlot,
  revisionSlot,
  signaturesSlot,
  signedSlot,
} from "./contract/registry-storage.ts";
import { type KeptProposal, readKept } from "./proposal.ts";
import type { ProvedContract } from "./proved-contract.ts";

/** What was approved last for an identity; while there is none, what was proposed last. `status` as in the contract's list. */
export interface LastProposal {
  readonly identity: Hex;
  readonly status: "approved" | "revoked" | "proposed";
  readonly proposal: KeptProposal;
}

/** Of each identity the last proposal, in their order; null where nothing was ever proposed. Throws `ledger-unverified`. */
export async function readLast(registry: ProvedContract, identities: readonly Hex[]): Promise<(LastProposal | null)[]> {
  const known = await registry.words(identities.flatMap((identity) => [currentSlot(identity), latestSlot(identity)]));
  const ids = identities.map((_, index) => {
    const [current, latest] = known.slice(2 * index, 2 * index + 2) as [Hex, Hex];
    return current === zeroHash ? latest : current;
  });
  const wanted = ids.filter((id) => id !== zeroHash);
  const proposals = await readKept(registry, wanted);
  return identities.map((identity, index) => {
    const id = ids[index]!;
    if (id === zeroHash) return null;
    const proposal = proposals[wanted.indexOf(id)];
    const isCurrent = known[2 * index] !== zeroHash;
    if (proposal?.identity !== identity || proposal.approved !== isCurrent) throw wrong(`of image ${identity}`);
    return { identity, proposal, status: !isCurrent ? "proposed" : proposal.revoked ? "revoked" : "approved" };
  });
}

/**
 * Of each identity what was proposed last, where that is another proposal than the one that is given of it and can still
 * be approved; else null. Throws `ledger-unverified`.
 */
export async function readOpenBeside(
  registry: ProvedContract,
  known: readonly LastProposal[],
): Promise<(KeptProposal | null)[]> {
  const slots = known.flatMap(({ identity }) => [latestSlot(identity), revisionSlot(identity)]);
  const [governance, ...words] = (await registry.words([governanceSlot, ...slots])) as [Hex, ...Hex[]];
  const { epoch } = parseGovernance(governance);
  const others = known.map(({ proposal }, index) => (words[2 * index] === proposal.id ? zeroHash : words[2 * index]!));
  const wanted = others.filter((id) => id !== zeroHash);
  const proposals = await readKept(registry, wanted);
  return known.map(({ identity }, index) => {
    const id = others[index]!;
    if (id === zeroHash) return null;
    const proposal = proposals[wanted.indexOf(id)];
    if (proposal?.identity !== identity) throw wrong(`of image ${identity}`);
    const isOpen = !proposal.approved && proposal.epoch === epoch;
    return isOpen && proposal.revision === hexToBigInt(words[2 * index + 1]!) ? proposal : null;
  });
}

/** How many identities were ever proposed for. */
export async function readIdentityCount(registry: ProvedContract): Promise<number> {
  const [count] = await registry.words([identityCountSlot]);
  return Number(hexToBigInt(count!));
}

/** Identities, from number `from` up to but not including `to`, in the order of their first proposals. */
export function readIdentities(registry: ProvedContract, from: number, to: number): Promise<Hex[]> {
  return registry.words(Array.from({ length: to - from }, (_, index) => identitySlot(from + index)));
}

/** How many baselines of an identity were approved so far. */
export async function readRevision(registry: ProvedContract, identity: Hex): Promise<bigint> {
  const [word] = await registry.words([revisionSlot(identity)]);
  return hexToBigInt(word!);
}

/** Whether a publisher has signed for a proposal or a motion. */
export async function hasSigned(registry: ProvedContract, id: Hex, publisher: Address): Promise<boolean> {
  const [word] = await registry.words([signedSlot(id, publisher)]);
  return word !== zeroHash;
}

/** How many publishers have signed for a motion. */
export async function readSignatures(registry: ProvedContract, motion: Hex): Promise<number> {
  const [word] = await registry.words([signaturesSlot(motion)]);
  return Number(hexToBigInt(word!));
}

/** Who may publish, how many of them must sign, and what took the registry's place. */
export interface Governance {
  readonly publishers: readonly Address[];
  readonly quorum: number;
  /** How often publishers or successor were changed. */
  readonly epoch: number;
  /** The contract that took this one's place. */
  readonly successor: Address | null;
}

/** `MAX_PUBLISHERS` of contracts/Publishers.sol. */
export const MAX_PUBLISHERS = 64;

export async function readGovernance(registry: ProvedContract): Promise<Governance> {
  const [word, count] = (await registry.words([governanceSlot, publisherCountSlot])) as [Hex, Hex];
  if (hexToBigInt(count) > BigInt(MAX_PUBLISHERS)) throw wrong("of publishers");
  const slots = Array.from({ length: Number(count) }, (_, index) => publisherSlot(index));
  const publishers = (await registry.words(slots)).map((one) => parseAddress(`0x${one.slice(-40)}`));
  const { quorum, epoch, successor } = parseGovernance(word);
  return { publishers, quorum, epoch, successor: successor === zeroAddress ? null : parseAddress(successor) };
}

function wrong(what: string): PimsError {
  return new PimsError("ledger-unverified", `what the registry's state says ${what} cannot be right`);
}
