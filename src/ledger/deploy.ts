import { type Address, encodeDeployData, type Hex } from "viem";
import { systemClock } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import { endpointsNeeded } from "./config.ts";
import { inRisingOrder, parseAddress } from "./contract/address.ts";
import { artifactOf, type ContractName } from "./contract/artifact.ts";
import { registryAbi } from "./contract/registry-abi.ts";
import { governanceSlot } from "./contract/registry-storage.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openLedger, type RegistryPlace } from "./open-ledger.ts";
import type { ProvedContract, ReadAt } from "./proved-contract.ts";
import { readGovernance } from "./registry-reads.ts";
import { Endpoints } from "./rpc/endpoints.ts";
import { garbage, openRpc } from "./rpc/rpc.ts";
import { callQuantity } from "./rpc/rpc-values.ts";
import { sendTransaction } from "./send.ts";
import { settle } from "./settle.ts";

type Place = Omit<RegistryPlace, "registry">;

/** Whose word on the chain counts, and who pays. */
export interface Payer extends Place {
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
  /** Where it was proved to be there; null: an endpoint says that it is, and the proved state does not show it yet. */
  at: ReadAt | null;
}

/**
 * Deploys a registry with its first publishers and their quorum, and proves that these are its. Sends nothing when fewer
 * endpoints answer than must have a block. Throws `ledger-refused`, `ledger-unreachable`, `ledger-unverified`.
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
  await requireEnough(place, chainId);
  const receipt = await sendTransaction(rpc, chainId, deployerKey, { data }, place.depth);
  if (!receipt.contractAddress) throw garbage(rpc.url, "a deployment without an address");
  const address = parseAddress(receipt.contractAddress);
  const ledger = openLedger({ ...place, registry: address });
  const settled = await settle(
    () => ledger.contract(name, address, { newer: true }),
    async (contract) => (contract.chainId === chainId && (await isIt(contract))) || null,
    place,
  );
  return { address, block: receipt.blockNumber, gas: receipt.gasUsed, at: settled?.at ?? null };
}

/** Else what is paid for could not be proved to be there. */
async function requireEnough({ timeoutMs = 10_000, ...place }: Place, chainId: bigint): Promise<void> {
  const { url, witnesses = [] } = place;
  const endpoints = new Endpoints([url, ...witnesses], { clock: systemClock, timeoutMs, report: () => {} });
  const needed = endpointsNeeded(place);
  const told = await endpoints.ask(endpoints.all, endpoints.all.length, (rpc) => callQuantity(rpc, "eth_chainId", []));
  const others = told.filter(({ value }) => value !== chainId);
  if (told.length - others.length >= needed) return;
  const faults = [
    ...others.map(({ rpc, value }) => `the chain at ${rpc.name} has number ${value}, not ${chainId}`),
    ...endpoints.all.flatMap((rpc) => endpoints.faultOf(rpc)?.message.slice(0, 200) ?? []),
  ];
  const count = told.length - others.length;
  throw new PimsError(
    "ledger-unreachable",
    `nothing was sent: ${count} of the ledger's ${endpoints.all.length} endpoints answer for its chain, ${needed} must: ${faults.join("; ")}`,
    { hint: "look at the endpoints, and at who keeps them" },
  );
}
