import type { Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { type BftKind, parseBftExtra } from "../ledger/header/bft-extra.ts";
import { type Header, parseHeader } from "../ledger/header/block-header.ts";
import { verifyCliqueSeals } from "../ledger/header/clique-seals.ts";
import { verifyCommitSeals } from "../ledger/header/commit-seals.ts";
import type { Bundle } from "./bundle.ts";

/** By what rules a chain's blocks are sealed: it is the reader who says it, since a header is its maker's word. */
export const CONSENSUS = ["qbft", "ibft2", "clique"] as const;
export type Consensus = (typeof CONSENSUS)[number];

/** What stands as mixHash in every header of Clique (EIP-225). */
const zeroHash: Hex = `0x${"00".repeat(32)}`;

/** A bundle has a few, and each may take a quarter of a second. */
const MOST_CHECKED = 16;

/**
 * Hashes of the blocks in a bundle that are proved by seals, and why others are not, a sentence each: at least two thirds of
 * these validators have sealed them (QBFT, IBFT 2.0), or more than half have signed them or a block above (Clique).
 * `addresses`: all validators or signers of the chain, each once. A header of another consensus, or one that names other
 * validators, is refused: with the rules of another fewer keys would be enough.
 */
export async function sealedBlocks(
  { ledger }: Bundle,
  { consensus, addresses }: { readonly consensus: Consensus; readonly addresses: readonly string[] },
): Promise<{ readonly hashes: readonly Hex[]; readonly refusals: readonly string[] }> {
  const hashes: Hex[] = [];
  const refusals: string[] = [];
  for (const block of ledger.blocks.slice(0, MOST_CHECKED))
    try {
      const [header, ...above] = [block.header, ...block.above].map(headerOf) as [Header, ...Header[]];
      if (consensus === "clique") await verifyClique(header, above, addresses);
      else await verifyBft(header, { kind: consensus, addresses });
      hashes.push(header.hash);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      refusals.push(error.message);
    }
  if (ledger.blocks.length > MOST_CHECKED)
    refusals.push(`seals of the first ${MOST_CHECKED} of ${ledger.blocks.length} blocks are looked at`);
  return { hashes, refusals };
}

async function verifyClique(header: Header, above: readonly Header[], addresses: readonly string[]): Promise<void> {
  if ([header, ...above].some(({ mixHash }) => mixHash !== zeroHash))
    throw unsealed(header, "its header is not one of Clique");
  await verifyCliqueSeals(header, above, addresses);
}

async function verifyBft(header: Header, validators: { kind: BftKind; addresses: readonly string[] }): Promise<void> {
  await verifyCommitSeals(header, validators);
  const named = new Set(parseBftExtra(header.extraData)?.validators);
  const given = new Set(validators.addresses.map((address) => address.toLowerCase()));
  // Where a contract chooses the validators (QBFT), headers name none.
  if (named.size > 0 && (named.size !== given.size || [...named].some((address) => !given.has(address))))
    throw unsealed(header, `it names other validators: ${[...named].slice(0, 8).join(", ")}`);
}

function unsealed({ number, hash }: Header, why: string): PimsError {
  return new PimsError("ledger-unverified", `block ${number} (${hash}) is not proved by seals: ${why}`);
}

const headerOf = (base64: string): Header => parseHeader(`0x${Buffer.from(base64, "base64").toString("hex")}`);
