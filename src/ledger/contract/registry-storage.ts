import { type Address, concat, type Hex, hexToBigInt, keccak256, numberToHex, pad } from "viem";

/**
 * Where contracts/BaselineRegistry.sol keeps what a reader has to prove (Solidity's storage layout; the compiled one is
 * in contracts/artifacts). A word's values stand in it from its low end on.
 */
export const registrySlots = {
  roles: 0n,
  /** quorum uint32, epoch uint32, successor address */
  governance: 1n,
  publishers: 2n,
  signed: 3n,
  seconds: 4n,
  proposals: 5n,
  current: 6n,
  latest: 7n,
  revisions: 8n,
  identities: 9n,
} as const;

/** The words of one proposal, counted from `proposalSlot`. */
export const proposalWords = {
  identity: 0n,
  root: 1n,
  dataHash: 2n,
  nextHash: 3n,
  /** proposer address, chunks uint32, delivered uint32, lines uint32 */
  parts: 4n,
  /** revision uint64, firstBlock uint64, lastBlock uint64, epoch uint32, approvals uint32 */
  blocks: 5n,
  /** approved bool, revoked bool, until uint64 */
  standing: 6n,
} as const;

/** The slot of what the publishers have agreed on. */
export const governanceSlot: Hex = numberToHex(registrySlots.governance, { size: 32 });

/** The slot of how many publishers there are. */
export const publisherCountSlot: Hex = numberToHex(registrySlots.publishers, { size: 32 });

/** The slot of how many identities were ever proposed for. */
export const identityCountSlot: Hex = numberToHex(registrySlots.identities, { size: 32 });

/** The slot of one of the publishers, whose words are addresses. */
export function publisherSlot(index: number): Hex {
  return itemSlot(publisherCountSlot, BigInt(index));
}

/** The slot of an identity, in the order of first proposals. */
export function identitySlot(index: number): Hex {
  return itemSlot(identityCountSlot, BigInt(index));
}

/** The slot of how many baselines of an identity were approved so far. */
export function revisionSlot(identity: Hex): Hex {
  return mappedSlot(identity, registrySlots.revisions);
}

/** The slot of whether a publisher signed for a proposal or a motion. */
export function signedSlot(id: Hex, publisher: Address): Hex {
  return mappedSlot(pad(publisher), hexToBigInt(mappedSlot(id, registrySlots.signed)));
}

/** The slot of how many publishers signed for a motion. */
export function signaturesSlot(motion: Hex): Hex {
  return mappedSlot(motion, registrySlots.seconds);
}

/** The slot of the id that was approved last for an identity. */
export function currentSlot(identity: Hex): Hex {
  return mappedSlot(identity, registrySlots.current);
}

/** The slot of the id that was proposed last for an identity. */
export function latestSlot(identity: Hex): Hex {
  return mappedSlot(identity, registrySlots.latest);
}

/** The slot of one word of a proposal. */
export function proposalSlot(id: Hex, word: keyof typeof proposalWords): Hex {
  return numberToHex(hexToBigInt(mappedSlot(id, registrySlots.proposals)) + proposalWords[word], { size: 32 });
}

/** How a proposal stands, from its word. `until`: seconds since 1970 UTC, zero: no end. */
export function parseStanding(word: Hex): { approved: boolean; revoked: boolean; until: bigint } {
  const [approved, revoked, until] = split(word, [8, 8, 64]);
  return { approved: approved !== 0n, revoked: revoked !== 0n, until: until! };
}

/** Who proposed, and how many pieces and lines there are, from their word. */
export function parseParts(word: Hex): { proposer: Hex; chunks: number; delivered: number; lines: number } {
  const [proposer, chunks, delivered, lines] = split(word, [160, 32, 32, 32]);
  return {
    proposer: numberToHex(proposer!, { size: 20 }),
    ...{ chunks: Number(chunks), delivered: Number(delivered), lines: Number(lines) },
  };
}

/** Of what revision and epoch a proposal is, the blocks of its events and how many signed it, from their word. */
export function parseBlocks(word: Hex) {
  const [revision, firstBlock, lastBlock, epoch, approvals] = split(word, [64, 64, 64, 32, 32]);
  return {
    ...{ revision: revision!, firstBlock: firstBlock!, lastBlock: lastBlock! },
    ...{ epoch: Number(epoch), approvals: Number(approvals) },
  };
}

/** How many publishers must sign, how often publishers or successor were changed, and the successor, from their word. */
export function parseGovernance(word: Hex): { quorum: number; epoch: number; successor: Address } {
  const [quorum, epoch, successor] = split(word, [32, 32, 160]);
  return { quorum: Number(quorum), epoch: Number(epoch), successor: numberToHex(successor!, { size: 20 }) };
}

/** The slot of a word of an array whose length stands in `slot` (Solidity's storage layout). */
export function itemSlot(slot: Hex, index: bigint): Hex {
  return numberToHex(hexToBigInt(keccak256(slot)) + index, { size: 32 });
}

/** Values of so many bits, from the word's low end on. */
export function split(word: Hex, bits: readonly number[]): bigint[] {
  let value = hexToBigInt(word);
  return bits.map((length) => {
    const part = BigInt.asUintN(length, value);
    value >>= BigInt(length);
    return part;
  });
}

/** The slot of what a mapping in `slot` holds for a key of 32 bytes (Solidity's storage layout). */
export function mappedSlot(key: Hex, slot: bigint): Hex {
  return keccak256(concat([key, numberToHex(slot, { size: 32 })]));
}
