import type { Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { parseBftExtra } from "../ledger/bft-extra.ts";
import { type Header, parseHeader } from "../ledger/block-header.ts";
import { verifyCliqueSeals } from "../ledger/clique-seals.ts";
import { verifyCommitSeals } from "../ledger/commit-seals.ts";
import type { Bundle } from "./bundle.ts";

/** A bundle has a few, and each may take a quarter of a second. */
const MOST_CHECKED = 16;

/**
 * Hashes of the blocks in a bundle that are proved by seals, and why others are not, a sentence each: at least two thirds of
 * these validators have sealed them (QBFT, IBFT 2.0), or more than half have signed them or a block above (Clique).
 * `addresses`: all validators or signers of the chain, each once.
 */
export async function sealedBlocks(
  { ledger }: Bundle,
  addresses: readonly string[],
): Promise<{ readonly hashes: readonly Hex[]; readonly refusals: readonly string[] }> {
  const hashes: Hex[] = [];
  const refusals: string[] = [];
  for (const block of ledger.blocks.slice(0, MOST_CHECKED))
    try {
      const [header, ...above] = [block.header, ...block.above].map(headerOf) as [Header, ...Header[]];
      const kind = parseBftExtra(header.extraData)?.kind;
      if (kind === undefined) await verifyCliqueSeals(header, above, addresses);
      else await verifyCommitSeals(header, { kind, addresses });
      hashes.push(header.hash);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      refusals.push(error.message);
    }
  if (ledger.blocks.length > MOST_CHECKED)
    refusals.push(`seals of the first ${MOST_CHECKED} of ${ledger.blocks.length} blocks are looked at`);
  return { hashes, refusals };
}

const headerOf = (base64: string): Header => parseHeader(`0x${Buffer.from(base64, "base64").toString("hex")}`);
