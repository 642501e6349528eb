import type { Address, Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { maxChunks } from "./entry-data.ts";
import { zeroHash } from "./identity.ts";
import { type Proposal, proposalId } from "./proposal.ts";
import { LAST_SECOND } from "./registry-reads.ts";
import { currentSlot, latestSlot, parseBlocks, parseParts, parseStanding, proposalSlot } from "./registry-storage.ts";

/** What stands for an image on the ledger, of words that are proved. `until`: seconds since 1970 UTC, zero: no end. */
export type Standing =
  | { readonly status: "none" | "proposed" }
  | { readonly status: "approved" | "revoked"; readonly proposal: Proposal };

const WORDS = ["identity", "root", "dataHash", "parts", "blocks", "standing"] as const;

/**
 * Reads by `prove`, which gives the words in slots of the registry's storage. What it reads must make the id that the
 * publishers signed, so that a contract that keeps it elsewhere is noticed. Throws `ledger-unverified` and what `prove` does.
 */
export async function readStanding(
  place: { chainId: bigint; address: Address },
  identity: Hex,
  prove: (slots: readonly Hex[]) => Promise<Hex[]>,
): Promise<Standing> {
  const [id, latest] = await prove([currentSlot(identity), latestSlot(identity)]);
  if (id === undefined || id === zeroHash) return { status: latest === zeroHash ? "none" : "proposed" };
  const words = await prove(WORDS.map((word) => proposalSlot(id, word)));
  const [ofIdentity, root, dataHash, parts, blocks, standing] = words as [Hex, Hex, Hex, Hex, Hex, Hex];
  const { approved, revoked, until } = parseStanding(standing);
  const status = revoked ? "revoked" : "approved";
  const proposal = {
    identity,
    root,
    dataHash,
    ...parseParts(parts),
    ...parseBlocks(blocks),
    id,
    until,
    status,
  } as const;
  const { chunks, delivered } = proposal;
  if (ofIdentity !== identity || !approved || delivered !== chunks || chunks > maxChunks || until > LAST_SECOND)
    throw wrong(identity);
  if (proposalId(place, proposal) !== id) throw wrong(identity);
  return { status, proposal };
}

function wrong(identity: Hex): PimsError {
  return new PimsError("ledger-unverified", `what the registry's state says of ${identity} cannot be right`);
}
