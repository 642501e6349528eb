import type { Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { type Header, parseHeader } from "./block-header.ts";
import { type CliqueBlock, type CliqueRules, follow, settledIn, startFrom } from "./clique-snapshot.ts";
import { type Validators, verifyCommitSeals } from "./commit-seals.ts";

/** By whose seals headers are believed, as `ledger.validators` and `ledger.clique` say. */
export type SealPolicy = { readonly validators: Validators } | { readonly clique: CliqueRules };

/** Who gives more takes a newer checkpoint. */
export const maxSealedHeaders = 65_536;

/**
 * The headers that seals prove to be of a chain, without asking anybody: each of these that validators sealed, or of a Clique
 * chain, whose checkpoint comes first, those up to the newest settled one. How new they are is for others to judge.
 * `rlps`: as `Header.rlp`. Throws `ledger-unverified` when one of them is not proved, or breaks a rule.
 */
export async function verifySealedChain(rlps: readonly Hex[], policy: SealPolicy): Promise<Header[]> {
  if (rlps.length > maxSealedHeaders)
    throw new PimsError("ledger-unverified", `more than ${maxSealedHeaders} headers of a chain`);
  const headers = rlps.map(parseHeader);
  if ("validators" in policy) {
    for (const header of headers) await verifyCommitSeals(header, policy.validators);
    return headers;
  }
  const [first, ...rest] = headers;
  if (first === undefined) return [];
  const blocks: CliqueBlock[] = [];
  let last = startFrom(first, policy.clique);
  for (const header of rest) {
    const block = await follow(last, header, policy.clique);
    blocks.push(block);
    last = block.after;
  }
  return [first, ...rest.slice(0, settledIn(blocks) + 1)];
}
