import { type Address, type Hex, isAddress, numberToHex } from "viem";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { artifactOf, type ContractName } from "./artifact.ts";
import { refusal } from "./refusal.ts";
import { endpointName, openRpc, type Rpc } from "./rpc.ts";
import { type Block, callData, callQuantity, latestBlock, parseData } from "./rpc-values.ts";

/** Where a contract is. */
export interface ContractPlace {
  /** JSON-RPC endpoint, http or https. */
  url: string;
  address: string;
  /** Refuse an endpoint of any other chain. */
  chainId?: bigint;
  /** Bound of each request, milliseconds, 10 000 by default. */
  timeoutMs?: number;
}

/** A contract as of one block, so that answers to several questions belong together. */
export interface Contract {
  readonly rpc: Rpc;
  readonly address: Address;
  readonly chainId: bigint;
  readonly block: Block;
}

const WORDS: Record<ContractName, string> = {
  BaselineRegistry: "baseline registry",
  HostRegistry: "host registry",
  Checkpoints: "contract for checkpoints",
};

/**
 * Finds a contract and takes the newest block as the one to read at. The code at the address must be the code that
 * this version compiles to. Throws `ledger-no-registry`, `ledger-wrong-chain`, `ledger-unreachable`, `ledger-unverified`.
 */
export async function openContract(name: ContractName, place: ContractPlace): Promise<Contract> {
  const { url, address, chainId, timeoutMs } = place;
  const rpc = openRpc(url, timeoutMs);
  if (!isAddress(address, { strict: false })) throw noContract(name, url, address);
  const actualChainId = await callQuantity(rpc, "eth_chainId", []);
  if (chainId !== undefined && actualChainId !== chainId) {
    throw new PimsError(
      "ledger-wrong-chain",
      `the chain at ${endpointName(url)} is number ${actualChainId}, not ${chainId}`,
      {
        hint: "give the endpoint of the chain that the registry was deployed on",
      },
    );
  }
  const block = await latestBlock(rpc);
  const code = await callData(rpc, "eth_getCode", [address, numberToHex(block.number)]);
  if (code !== artifactOf(name).deployedBytecode) throw noContract(name, url, address);
  return { rpc, address, chainId: actualChainId, block };
}

/** What a read function of the contract returns at the contract's block, still encoded. */
export async function callContract({ rpc, address, block }: Contract, data: Hex): Promise<Hex> {
  const answer = await rpc.request("eth_call", [{ to: address, data }, numberToHex(block.number)]);
  if ("error" in answer) throw refusal(rpc, answer.error);
  return parseData(rpc, "result of a call", answer.result);
}

/** There is another contract at the address, or none. */
export function noContract(name: ContractName, url: string, address: string): PimsError {
  const text = `there is no ${WORDS[name]} of this version at ${printable(address)} on ${endpointName(url)}`;
  return new PimsError("ledger-no-registry", text, { hint: "give the address that pims ledger deploy printed" });
}
