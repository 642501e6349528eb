import { type Address, encodeAbiParameters, encodeFunctionData, type Hex, keccak256, parseAbiParameters } from "viem";
import { inRisingOrder, parseAddress } from "./contract/address.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openLedger, type RegistryPlace } from "./open-ledger.ts";
import type { ProvedContract } from "./proved-contract.ts";
import { type ReadAt, sendTo } from "./proved-contract.ts";
import { hasSigned, readGovernance, readSignatures } from "./registry-reads.ts";
import { settleRegistry } from "./settle.ts";

/** A publisher's signature for a motion. It is in force once `quorum` publishers have signed for the very same one. */
export interface MotionSigned {
  /** Null: an endpoint says that it was sent, the proved state does not show it yet. */
  signatures: number | null;
  quorum: number;
  gas: bigint;
  /** Where the signature was proved to be there. */
  at: ReadAt | null;
}

export interface PublisherChange extends RegistryPlace {
  /** A publisher's of now. */
  key: LedgerKey;
  /** All publishers of then. */
  publishers: readonly string[];
  quorum: number;
}

const changeParameters = parseAbiParameters("string, uint256, address, uint32, address[], uint32");
const retirementParameters = parseAbiParameters("string, uint256, address, uint32, address");

/**
 * Signs for another set of publishers and their quorum. Once in force every open proposal is outdated, and what removed
 * publishers had signed counts no more. Throws `address-malformed`, `ledger-refused`, `ledger-unreachable`.
 */
export function changePublishers({ key, publishers, quorum, ...place }: PublisherChange): Promise<MotionSigned> {
  const args = [inRisingOrder(publishers), quorum] as const;
  const data = encodeFunctionData({ abi, functionName: "changePublishers", args });
  return sign(place, key, data, ({ chainId, address }, epoch) =>
    encodeAbiParameters(changeParameters, ["changePublishers", chainId, address, epoch, ...args]),
  );
}

export interface Retirement extends RegistryPlace {
  key: LedgerKey;
  /** Address of the contract that takes this one's place. */
  successor: string;
}

/** Signs for giving way to another contract: then nothing is proposed or approved here any more. Throws as above. */
export async function retireRegistry({ key, successor, ...place }: Retirement): Promise<MotionSigned> {
  const to: Address = parseAddress(successor);
  const data = encodeFunctionData({ abi, functionName: "retire", args: [to] });
  return sign(place, key, data, ({ chainId, address }, epoch) =>
    encodeAbiParameters(retirementParameters, ["retire", chainId, address, epoch, to]),
  );
}

/** `motion`: what the contract hashes to the motion's id (`changeId` and `retirementId` of contracts/Publishers.sol). */
async function sign(
  place: RegistryPlace,
  key: LedgerKey,
  data: Hex,
  motion: (registry: ProvedContract, epoch: number) => Hex,
): Promise<MotionSigned> {
  const ledger = openLedger(place);
  const registry = await ledger.contract("BaselineRegistry");
  const { quorum, epoch } = await readGovernance(registry);
  const id = keccak256(motion(registry, epoch));
  const { gasUsed: gas } = await sendTo(registry, key, data);
  const settled = await settleRegistry(
    ledger,
    async (now) => ((await hasSigned(now, id, key.address)) ? readSignatures(now, id) : null),
    place,
  );
  return { signatures: settled?.shown ?? null, quorum, gas, at: settled?.at ?? null };
}
