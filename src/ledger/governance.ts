import { type Address, encodeFunctionData, type Hex, zeroAddress } from "viem";
import { inRisingOrder, parseAddress } from "./deploy.ts";
import type { LedgerKey } from "./keys.ts";
import { callRegistry, openRegistry, type Registry, type RegistryPlace } from "./registry.ts";
import { registryAbi as abi } from "./registry-abi.ts";
import { readEpoch, readGovernance, readSignatures } from "./registry-reads.ts";
import { sendTransaction } from "./send.ts";

/** Who may publish, by the endpoint's word. */
export interface Governance {
  publishers: readonly Address[];
  quorum: number;
  /** How often publishers or successor were changed. */
  epoch: number;
  /** The contract that took this one's place. */
  successor: Address | null;
}

/** Throws as `openRegistry`. */
export async function readPublishers(place: RegistryPlace): Promise<Governance> {
  const registry = await openRegistry(place);
  const { publishers, quorum, successor } = await readGovernance(registry);
  const epoch = await readEpoch(registry);
  return { publishers, quorum, epoch, successor: successor === zeroAddress ? null : successor };
}

/** A publisher's signature for a motion. It is in force once `quorum` publishers have signed for the very same one. */
export interface MotionSigned {
  signatures: number;
  quorum: number;
  gas: bigint;
}

export interface PublisherChange extends RegistryPlace {
  /** A publisher's of now. */
  key: LedgerKey;
  /** All publishers of then. */
  publishers: readonly string[];
  quorum: number;
}

/**
 * Signs for another set of publishers and their quorum. Once in force every open proposal is outdated, and what removed
 * publishers had signed counts no more. Throws `address-malformed`, `ledger-refused`, `ledger-unreachable`.
 */
export function changePublishers({ key, publishers, quorum, ...place }: PublisherChange): Promise<MotionSigned> {
  const args = [inRisingOrder(publishers), quorum] as const;
  return sign(
    place,
    key,
    encodeFunctionData({ abi, functionName: "changeId", args }),
    encodeFunctionData({ abi, functionName: "changePublishers", args }),
  );
}

export interface Retirement extends RegistryPlace {
  key: LedgerKey;
  /** Address of the contract that takes this one's place. */
  successor: string;
}

/** Signs for giving way to another contract: then nothing is proposed or approved here any more. Throws as above. */
export async function retireRegistry({ key, successor, ...place }: Retirement): Promise<MotionSigned> {
  const args = [parseAddress(successor)] as const;
  return sign(
    place,
    key,
    encodeFunctionData({ abi, functionName: "retirementId", args }),
    encodeFunctionData({ abi, functionName: "retire", args }),
  );
}

async function sign(place: RegistryPlace, key: LedgerKey, askId: Hex, data: Hex): Promise<MotionSigned> {
  const registry: Registry = await openRegistry(place);
  const motion = await callRegistry(registry, askId);
  const { quorum } = await readGovernance(registry);
  const { gasUsed } = await sendTransaction(registry.rpc, registry.chainId, key, { to: registry.address, data });
  return { signatures: await readSignatures(await openRegistry(place), motion), quorum, gas: gasUsed };
}
