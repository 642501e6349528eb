import { encodeFunctionData, type Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { hashToIdentity, parseProposalId } from "./contract/identity.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openLedger, type RegistryPlace } from "./open-ledger.ts";
import { requireProposal } from "./proposal.ts";
import { type ReadAt, sendTo } from "./proved-contract.ts";
import { settleRegistry } from "./settle.ts";

/** Longest overlap, seconds: `MAX_OVERLAP` of contracts/BaselineRegistry.sol. */
export const maxOverlapSeconds = 366 * 24 * 3600;

export interface Revoking extends RegistryPlace {
  /** A publisher's. One is enough, since this only takes trust away. */
  key: LedgerKey;
  /** An approved or superseded proposal. */
  id: string;
}

export interface Revoked {
  identity: string;
  gas: bigint;
  /** Where it was proved to be revoked; null: an endpoint says that it is, the proved state does not show it yet. */
  at: ReadAt | null;
}

/** Takes a baseline back, for good. Throws `ledger-refused`, `ledger-unreachable`, `ledger-unverified`. */
export async function revokeBaseline({ key, id, ...place }: Revoking): Promise<Revoked> {
  const ledger = openLedger(place);
  const registry = await ledger.contract("BaselineRegistry");
  const proposal = await requireProposal(registry, parseProposalId(id));
  const data = encodeFunctionData({ abi, functionName: "revoke", args: [proposal.id] });
  const { gasUsed: gas } = await sendTo(registry, key, data);
  const settled = await settleRegistry(
    ledger,
    async (now) => (await requireProposal(now, proposal.id)).status === "revoked" || null,
    place,
  );
  return { identity: hashToIdentity(proposal.identity), gas, at: settled?.at ?? null };
}

export interface Superseding extends Revoking {
  /** The approved proposal, of another image, that takes its place. */
  by: string;
  /** For how long from now both hold, seconds. */
  overlapSeconds: number;
}

export interface Superseded extends Revoked {
  /** When it ends, seconds since 1970 UTC; null as long as that is not proved. */
  until: bigint | null;
}

/** Lets a baseline end because another image's takes its place. Throws `overlap-malformed` and as `revokeBaseline`. */
export async function supersedeBaseline({ key, id, by, overlapSeconds, ...place }: Superseding): Promise<Superseded> {
  if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > maxOverlapSeconds)
    throw new PimsError("overlap-malformed", "an overlap is a number of seconds, 366 days at most");
  const ledger = openLedger(place);
  const registry = await ledger.contract("BaselineRegistry");
  const proposal = await requireProposal(registry, parseProposalId(id));
  const successor = await requireProposal(registry, parseProposalId(by));
  const args = [proposal.id, successor.id, BigInt(overlapSeconds)] as const;
  const data: Hex = encodeFunctionData({ abi, functionName: "supersede", args });
  const { gasUsed: gas } = await sendTo(registry, key, data);
  const settled = await settleRegistry(
    ledger,
    async (now) => {
      const { until } = await requireProposal(now, proposal.id);
      return until === proposal.until ? null : until;
    },
    place,
  );
  const identity = hashToIdentity(proposal.identity);
  return { identity, until: settled?.shown ?? null, gas, at: settled?.at ?? null };
}
