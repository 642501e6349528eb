import type { Address, Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { zeroHash } from "./contract/identity.ts";
import { currentSlot, governanceSlot, latestSlot, parseGovernance } from "./contract/registry-storage.ts";
import type { ReadWords } from "./proof/read-contract.ts";
import { keptSlots, type Proposal, parseKept } from "./proposal.ts";

/**
 * What stands for an image on the ledger, of words that are proved. `until`: seconds since 1970 UTC, zero: no end.
 * `quorum`: how many had to sign, null where that has changed since.
 */
export type Standing =
  | { readonly status: "none" | "proposed" }
  | { readonly status: "approved" | "revoked"; readonly proposal: Proposal; readonly quorum: number | null };

/** Asks for slots of the registry's storage, is given the words in them, and returns what stands. */
export type StandingReader = Generator<readonly Hex[], Standing, readonly Hex[]>;

/**
 * Reads what stands for an image. What it is given must make the id that the publishers signed, so that a contract that
 * keeps it elsewhere is noticed. Throws `ledger-unverified`.
 */
export function* readStanding(place: { chainId: bigint; address: Address }, identity: Hex): StandingReader {
  const [id, latest, governance] = yield [currentSlot(identity), latestSlot(identity), governanceSlot];
  if (id === undefined || id === zeroHash) return { status: latest === zeroHash ? "none" : "proposed" };
  const kept = parseKept(place, id, yield keptSlots(id));
  if (kept?.identity !== identity) throw wrong(identity);
  const { approved, revoked, ...body } = kept;
  const { quorum, epoch } = parseGovernance(governance!);
  const isSame = epoch === body.epoch;
  if (!approved || body.delivered !== body.chunks || (isSame && body.approvals < quorum)) throw wrong(identity);
  const status = revoked ? "revoked" : "approved";
  return { status, proposal: { ...body, status }, quorum: isSame ? quorum : null };
}

/** The same with words that are at hand. Throws `ledger-unverified` and what `words` throws. */
export function standingIn(place: { chainId: bigint; address: Address }, identity: Hex, words: ReadWords): Standing {
  const reading = readStanding(place, identity);
  let step = reading.next();
  while (!step.done) step = reading.next(words(step.value));
  return step.value;
}

function wrong(identity: Hex): PimsError {
  return new PimsError("ledger-unverified", `what the registry's state says of ${identity} cannot be right`);
}
