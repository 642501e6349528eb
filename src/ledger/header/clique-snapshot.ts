import type { Hex } from "viem";
import { PimsError } from "../../core/errors.ts";
import { type Header, hashWithExtra } from "./block-header.ts";
import { signerOf } from "./signer-of.ts";

/** What a reader of a Clique chain (EIP-225) starts from, and what its genesis file says of it. */
export interface CliqueRules {
  /** An epoch's first block, or block 0: its header lists the signers. */
  readonly checkpoint: { readonly number: number; readonly hash: string };
  /** Blocks an epoch; votes end with it. */
  readonly epoch: number;
  /** Milliseconds between two blocks at least, whole seconds. */
  readonly periodMs: number;
}

/** A signer's standing vote. */
export interface CliqueVote {
  readonly by: Hex;
  readonly about: Hex;
  readonly isFor: boolean;
}

/** Who may sign the block after this one, and what is open. Addresses are in lower case. */
export interface CliqueSnapshot {
  readonly number: bigint;
  readonly hash: Hex;
  /** Seconds since 1970 UTC. */
  readonly timestamp: bigint;
  /** In rising order. */
  readonly signers: readonly Hex[];
  /** Who signed the last blocks, the newest last. */
  readonly recent: readonly Hex[];
  readonly votes: readonly CliqueVote[];
}

/** A block that follows by the rules, and its signer. */
export interface CliqueBlock {
  readonly header: Header;
  readonly signer: Hex;
  /** Who was allowed to sign it. */
  readonly signers: readonly Hex[];
  readonly after: CliqueSnapshot;
}

/** A header in a file has 255 signers' addresses at most. */
const maxSigners = 255;
const VANITY = 32;
const SEAL = 65;
const FOR: Hex = "0xffffffffffffffff";
const AGAINST: Hex = "0x0000000000000000";
const nobody: Hex = `0x${"00".repeat(20)}`;
const zeroHash: Hex = `0x${"00".repeat(32)}`;

/** The signers that a checkpoint lists; it is the configured one. Throws `ledger-unverified`. */
export function startFrom(header: Header, { checkpoint, epoch }: CliqueRules): CliqueSnapshot {
  const refuse = refusalOf(header);
  if (header.number !== BigInt(checkpoint.number) || header.hash !== checkpoint.hash.toLowerCase())
    throw refuse(`it is not the checkpoint, block ${checkpoint.number} (${checkpoint.hash})`);
  if (header.number % BigInt(epoch) !== 0n) throw refuse("a checkpoint is an epoch's first block");
  const signers = listedIn(header).toSorted();
  if (signers.length === 0) throw refuse("it lists no signers");
  if (new Set(signers).size !== signers.length) throw refuse("it lists a signer twice");
  const { number, hash, timestamp } = header;
  return { number, hash, timestamp, signers, recent: [], votes: [] };
}

/**
 * The next block of a Clique chain, if it is one: its parent, time, difficulty, signer and vote by EIP-225 and its reference
 * implementation. What only shows inside a block (gas, state) is the signers' to judge. Throws `ledger-unverified`.
 */
export async function follow(last: CliqueSnapshot, header: Header, rules: CliqueRules): Promise<CliqueBlock> {
  const refuse = refusalOf(header);
  const { number, timestamp, extraData, miner, nonce } = header;
  if (number !== last.number + 1n) throw refuse(`it does not come after block ${last.number}`);
  if (header.parentHash !== last.hash) throw refuse(`its parent is not block ${last.number} (${last.hash})`);
  if (timestamp * 1000n < last.timestamp * 1000n + BigInt(rules.periodMs))
    throw refuse("it comes too soon after its parent");
  if (header.mixHash !== zeroHash) throw refuse("its mixHash is not zero");
  if (nonce !== FOR && nonce !== AGAINST) throw refuse("its nonce is no vote");
  const isEpoch = number % BigInt(rules.epoch) === 0n;
  if (isEpoch) {
    if (miner !== nobody || nonce !== AGAINST) throw refuse("a vote in an epoch's first block");
    if (listedIn(header).join() !== last.signers.join()) throw refuse("it lists other signers than those followed");
  } else if (extraData.length !== 2 + 2 * (VANITY + SEAL)) throw refuse("its extra data is of another length");
  const signer = await cliqueSigner(header);
  if (signer === null) throw refuse("its seal is no signature");
  const turn = last.signers.indexOf(signer);
  if (turn < 0) throw refuse(`${signer} is none of its signers`);
  if (newest(last.recent, last.signers).includes(signer)) throw refuse(`${signer} signed too recently`);
  const isInTurn = number % BigInt(last.signers.length) === BigInt(turn);
  if (header.difficulty !== (isInTurn ? 2n : 1n)) throw refuse("its difficulty is not that of its signer's turn");
  const counted = count(last.signers, isEpoch ? [] : last.votes, { by: signer, about: miner, isFor: nonce === FOR });
  const recent = newest([...last.recent, signer], counted.signers);
  const after = { ...counted, number, hash: header.hash, timestamp, recent };
  return { header, signer, signers: last.signers, after };
}

/** Who signed a header of a Clique chain; null for what has no such seal. */
export async function cliqueSigner(header: Header): Promise<Hex | null> {
  const { extraData } = header;
  if (extraData.length < 2 + 2 * (VANITY + SEAL)) return null;
  return signerOf(hashWithExtra(header, withoutSeal(extraData)), sealIn(extraData));
}

/** Who may not sign the next block: a signer leaves half of the blocks, rounded down, between two of his own. */
function newest(recent: readonly Hex[], signers: readonly Hex[]): Hex[] {
  const pause = Math.floor(signers.length / 2);
  return pause === 0 ? [] : recent.slice(-pause);
}

function count(
  signers: readonly Hex[],
  open: readonly CliqueVote[],
  vote: CliqueVote,
): Pick<CliqueSnapshot, "signers" | "votes"> {
  const others = open.filter(({ by, about }) => by !== vote.by || about !== vote.about);
  // Who is a signer can only be voted out, who is none only in; other votes take back an earlier one at most.
  const votes = signers.includes(vote.about) === vote.isFor ? others : [...others, vote];
  // Judged whenever an account is touched: with fewer signers than before, earlier votes can have become enough.
  const cast = votes.filter(({ about }) => about === vote.about);
  if (2 * cast.length <= signers.length) return { signers, votes };
  const rest = votes.filter(({ about }) => about !== vote.about);
  if (cast[0]!.isFor) return { signers: [...signers, vote.about].toSorted(), votes: rest };
  return {
    signers: signers.filter((signer) => signer !== vote.about),
    votes: rest.filter(({ by }) => by !== vote.about),
  };
}

/**
 * How far a chain is settled: the index of its newest block that has one above it and, with those above it, blocks by more
 * than half of those who were its signers; -1 when there is none. Anybody can give a seal its twin, and the block another
 * hash: that the newest block has this one only a block above it says, which takes none but an only signer longer.
 */
export function settledIn(blocks: readonly CliqueBlock[]): number {
  const above = new Set<Hex>();
  for (let index = blocks.length - 1; index >= 0; index--) {
    const { signer, signers } = blocks[index]!;
    above.add(signer);
    const isLast = index === blocks.length - 1;
    if (!isLast && 2 * signers.filter((address) => above.has(address)).length > signers.length) return index;
  }
  return -1;
}

function listedIn(header: Header): Hex[] {
  const digits = header.extraData.slice(2 + 2 * VANITY, -2 * SEAL);
  const isWhole = header.extraData.length >= 2 + 2 * (VANITY + SEAL) && digits.length % 40 === 0;
  if (!isWhole || digits.length > 40 * maxSigners) throw refusalOf(header)("its extra data is no list of signers");
  return Array.from(
    { length: digits.length / 40 },
    (_, index): Hex => `0x${digits.slice(40 * index, 40 * index + 40)}`,
  );
}

const withoutSeal = (extraData: Hex): Hex => extraData.slice(0, -2 * SEAL) as Hex;
const sealIn = (extraData: Hex): Hex => `0x${extraData.slice(-2 * SEAL)}`;

function refusalOf({ number, hash }: Header) {
  return (why: string): PimsError =>
    new PimsError("ledger-unverified", `block ${number} (${hash}) breaks a rule of Clique: ${why}`);
}
