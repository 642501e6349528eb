import { encodeFunctionData } from "viem";
import { PimsError } from "../core/errors.ts";
import { hashToIdentity, parseProposalId } from "./identity.ts";
import type { LedgerKey } from "./keys.ts";
import { requireProposal } from "./proposal.ts";
import { openRegistry, type RegistryPlace } from "./registry.ts";
import { registryAbi as abi } from "./registry-abi.ts";
import { sendTransaction } from "./send.ts";

/** Longest overlap, seconds: `MAX_OVERLAP` of contracts/BaselineRegistry.sol. */
export const maxOverlapSeconds = 366 * 24 * 3600;

export interface Revoking extends RegistryPlace {
  /** A publisher's. One is enough, since this only takes trust away. */
  key: LedgerKey;
  /** An approved or superseded proposal. */
  id: string;
}

/** Takes a baseline back, for good. Throws `ledger-refused`, `ledger-unreachable`, `ledger-unverified`. */
export async function revokeBaseline({ key, id, ...place }: Revoking): Promise<{ identity: string; gas: bigint }> {
  const registry = await openRegistry(place);
  const proposal = await requireProposal(registry, parseProposalId(id));
  const data = encodeFunctionData({ abi, functionName: "revoke", args: [proposal.id] });
  const { gasUsed } = await sendTransaction(registry.rpc, registry.chainId, key, { to: registry.address, data });
  return { identity: hashToIdentity(proposal.identity), gas: gasUsed };
}

export interface Superseding extends Revoking {
  /** The approved proposal, of another image, that takes its place. */
  by: string;
  /** For how long from now both hold, seconds. */
  overlapSeconds: number;
}

/**
 * Lets a baseline end because another image's takes its place. `until`: seconds since 1970 UTC.
 * Throws `overlap-malformed` and as `revokeBaseline`.
 */
export async function supersedeBaseline({
  key,
  id,
  by,
  overlapSeconds,
  ...place
}: Superseding): Promise<{ identity: string; until: bigint; gas: bigint }> {
  if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > maxOverlapSeconds)
    throw new PimsError("overlap-malformed", "an overlap is a number of seconds, 366 days at most");
  const registry = await openRegistry(place);
  const proposal = await requireProposal(registry, parseProposalId(id));
  const successor = await requireProposal(registry, parseProposalId(by));
  const args = [proposal.id, successor.id, BigInt(overlapSeconds)] as const;
  const data = encodeFunctionData({ abi, functionName: "supersede", args });
  const { gasUsed } = await sendTransaction(registry.rpc, registry.chainId, key, { to: registry.address, data });
  const { until } = await requireProposal(await openRegistry(place), proposal.id);
  return { identity: hashToIdentity(proposal.identity), until, gas: gasUsed };
}
