import { type Address, encodeDeployData, getAddress, type Hex, isAddress } from "viem";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { artifactOf, type ContractName } from "./artifact.ts";
import { openContract } from "./contract.ts";
import type { LedgerKey } from "./keys.ts";
import { registryAbi } from "./registry-abi.ts";
import { garbage, openRpc } from "./rpc.ts";
import { callQuantity } from "./rpc-values.ts";
import { sendTransaction } from "./send.ts";

export interface Payer {
  url: string;
  /** Pays for the deployment; gets no right by it, and cannot be a publisher. */
  deployerKey: LedgerKey;
  timeoutMs?: number;
}

export interface Deployment extends Payer {
  publishers: readonly string[];
  /** How many publishers must sign, the proposer included; at least 2. */
  quorum: number;
}

/** Deploys a registry with its first publishers and their quorum. Throws `ledger-refused`, `ledger-unreachable`. */
export async function deployRegistry(
  deployment: Deployment,
): Promise<{ address: Address; block: bigint; gas: bigint }> {
  const { url, deployerKey, quorum, timeoutMs } = deployment;
  const publishers = inRisingOrder(deployment.publishers);
  const data = encodeDeployData({
    abi: registryAbi,
    bytecode: artifactOf("BaselineRegistry").bytecode,
    args: [publishers, quorum],
  });
  return deploy("BaselineRegistry", data, { url, deployerKey, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
}

/** Deploys one of the contracts that know no rights, only who wrote what. Throws `ledger-refused`, `ledger-unreachable`. */
export function deployContract(
  name: Exclude<ContractName, "BaselineRegistry">,
  payer: Payer,
): Promise<{ address: Address; block: bigint; gas: bigint }> {
  return deploy(name, artifactOf(name).bytecode, payer);
}

async function deploy(name: ContractName, data: Hex, { url, deployerKey, timeoutMs }: Payer) {
  const rpc = openRpc(url, timeoutMs);
  const chainId = await callQuantity(rpc, "eth_chainId", []);
  const receipt = await sendTransaction(rpc, chainId, deployerKey, { data });
  if (!receipt.contractAddress) throw garbage(url, "a deployment without an address");
  const address = getAddress(receipt.contractAddress);
  await openContract(name, { url, address, chainId, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  return { address, block: receipt.blockNumber, gas: receipt.gasUsed };
}

/** Addresses as the registry takes them: any order of them is one motion. Throws `address-malformed`. */
export function inRisingOrder(addresses: readonly string[]): Address[] {
  return addresses.map(parseAddress).sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
}

/** Throws `address-malformed`. */
export function parseAddress(text: string): Address {
  if (isAddress(text, { strict: false })) return getAddress(text);
  throw new PimsError("address-malformed", `${printable(text.slice(0, 100))} is not an address`, {
    hint: "an address is 0x followed by 40 hexadecimal digits",
  });
}
