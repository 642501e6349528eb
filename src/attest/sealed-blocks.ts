import type { Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { parseBftExtra } from "../ledger/bft-extra.ts";
import { parseHeader } from "../ledger/block-header.ts";
import { verifyCommitSeals } from "../ledger/commit-seals.ts";
import type { Bundle } from "./bundle.ts";

/** A bundle has a few, and each may take a quarter of a second. */
const MOST_CHECKED = 16;

/**
 * Hashes of the blocks in a bundle that at least two thirds of these validators have sealed (QBFT, IBFT 2.0), and why others
 * are not among them, a sentence each. `addresses`: all validators of the chain, each once.
 */
export async function sealedBlocks(
  { ledger }: Bundle,
  addresses: readonly string[],
): Promise<{ readonly hashes: readonly Hex[]; readonly refusals: readonly string[] }> {
  const hashes: Hex[] = [];
  const refusals: string[] = [];
  for (const block of ledger.blocks.slice(0, MOST_CHECKED))
    try {
      const header = parseHeader(`0x${Buffer.from(block, "base64").toString("hex")}`);
      await verifyCommitSeals(header, { kind: parseBftExtra(header.extraData)?.kind ?? "qbft", addresses });
      hashes.push(header.hash);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      refusals.push(error.message);
    }
  if (ledger.blocks.length > MOST_CHECKED)
    refusals.push(`seals of the first ${MOST_CHECKED} of ${ledger.blocks.length} blocks are looked at`);
  return { hashes, refusals };
}
