import { type Address, type Hex, isAddress, numberToHex } from "viem";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { refusal } from "./refusal.ts";
import { registryArtifact } from "./registry-artifact.ts";
import { openRpc, type Rpc } from "./rpc.ts";
import { type Block, callData, callQuantity, latestBlock, parseData } from "./rpc-values.ts";

/** Where a registry is. */
export interface RegistryPlace {
  /** JSON-RPC endpoint, http or https. */
  url: string;
  /** The contract's address. */
  registry: string;
  /** Refuse an endpoint of any other chain. */
  chainId?: bigint;
  /** Bound of each request, milliseconds, 10 000 by default. */
  timeoutMs?: number;
}

/** A registry as of one block, so that answers to several questions belong together. */
export interface Registry {
  readonly rpc: Rpc;
  readonly address: Address;
  readonly chainId: bigint;
  readonly block: Block;
}

/**
 * Finds the registry and takes the newest block as the one to read at. The code at the address must be the code that
 * this version compiles to. Throws `ledger-no-registry`, `ledger-wrong-chain`, `ledger-unreachable`, `ledger-unverified`.
 */
export async function openRegistry({ url, registry, chainId, timeoutMs }: RegistryPlace): Promise<Registry> {
  const rpc = openRpc(url, timeoutMs);
  if (!isAddress(registry, { strict: false })) throw noRegistry(url, registry);
  const actualChainId = await callQuantity(rpc, "eth_chainId", []);
  if (chainId !== undefined && actualChainId !== chainId) {
    throw new PimsError("ledger-wrong-chain", `the chain at ${url} is number ${actualChainId}, not ${chainId}`, {
      hint: "give the endpoint of the chain that the registry was deployed on",
    });
  }
  const block = await latestBlock(rpc);
  const code = await callData(rpc, "eth_getCode", [registry, numberToHex(block.number)]);
  if (code !== registryArtifact().deployedBytecode) throw noRegistry(url, registry);
  return { rpc, address: registry, chainId: actualChainId, block };
}

/** What a read function of the registry returns at the registry's block, still encoded. */
export async function callRegistry({ rpc, address, block }: Registry, data: Hex): Promise<Hex> {
  const answer = await rpc.request("eth_call", [{ to: address, data }, numberToHex(block.number)]);
  if ("error" in answer) throw refusal(rpc, answer.error);
  return parseData(rpc, "result of a call", answer.result);
}

function noRegistry(url: string, address: string): PimsError {
  return new PimsError(
    "ledger-no-registry",
    `there is no baseline registry of this version at ${printable(address)} on ${url}`,
    { hint: "give the address that pims ledger deploy printed" },
  );
}
