import { type Address, encodeDeployData, type Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { inRisingOrder, parseAddress } from "./address.ts";
import { artifactOf, type ContractName } from "./artifact.ts";
import type { LedgerKey } from "./keys.ts";
import type { ProvedContract } from "./proved-contract.ts";
import { openLedger, type RegistryPlace } from "./registry.ts";
import { registryAbi } from "./registry-abi.ts";
import { readGovernance } from "./registry-reads.ts";
import { governanceSlot } from "./registry-storage.ts";
import { garbage, openRpc } from "./rpc.ts";
import { callQuantity } from "./rpc-values.ts";
import { sendTransaction } from "./send.ts";
import { settle } from "./settle.ts";

/** Whose word on the chain counts, and who pays. */
export interface Payer extends Omit<RegistryPlace, "registry"> {
  /** Pays for the deployment; gets no right by it, and cannot be a publisher. */
  deployerKey: LedgerKey;
}

export interface Deployment extends Payer {
  publishers: readonly string[];
  /** How many publishers must sign, the proposer included; at least 2. */
  quorum: number;
}

export interface Deployed {
  address: Address;
  block: bigint;
  gas: bigint;
}

/**
 * Deploys a registry with its first publishers and their quorum, and proves that these are its. Throws `ledger-refused`,
 * `ledger-unreachable`, `ledger-unverified`.
 */
export async function deployRegistry({ publishers, quorum, ...payer }: Deployment): Promise<Deployed> {
  const wanted = inRisingOrder(publishers);
  const { bytecode } = artifactOf("BaselineRegistry");
  const data = encodeDeployData({ abi: registryAbi, bytecode, args: [wanted, quorum] });
  return deploy("BaselineRegistry", data, payer, async (contract) => {
    const governance = await readGovernance(contract);
    return governance.quorum === quorum && governance.publishers.join() === wanted.join();
  });
}

/** Deploys one of the contracts that know no rights, only who wrote what. Throws as `deployRegistry`. */
export function deployContract(name: Exclude<ContractName, "BaselineRegistry">, payer: Payer): Promise<Deployed> {
  return deploy(name, artifactOf(name).bytecode, payer, async (contract) => {
    await contract.words([governanceSlot]);
    return true;
  });
}

/** `isIt`: whether what stands at the address that an endpoint gave is what was deployed. */
async function deploy(
  name: ContractName,
  data: Hex,
  { deployerKey, ...place }: Payer,
  isIt: (contract: ProvedContract) => Promise<boolean>,
): Promise<Deployed> {
  // Nothing can be agreed on yet: a fresh embedded chain has only the block that it begins with, whose header has no known form.
  const rpc = openRpc(place.url, place.timeoutMs);
  const chainId = await callQuantity(rpc, "eth_chainId", []);
  const receipt = await sendTransaction(rpc, chainId, deployerKey, { data }, place.depth);
  if (!receipt.contractAddress) throw garbage(rpc.url, "a deployment without an address");
  const address = parseAddress(receipt.contractAddress);
  const ledger = openLedger({ ...place, registry: address });
  const shown = await settle(
    () => ledger.contract(name, address, { newer: true }),
    async (contract) => (contract.chainId === chainId && (await isIt(contract))) || null,
    place,
  );
  if (shown !== null) return { address, block: receipt.blockNumber, gas: receipt.gasUsed };
  throw new PimsError(
    "ledger-unverified",
    `the contract that ${rpc.name} has at ${address} is not proved to be there`,
    {
      hint: "look whether the ledger's endpoints take part in one chain, and deploy again",
    },
  );
}
