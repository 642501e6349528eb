import { type Address, decodeFunctionResult, encodeFunctionData, type Hex } from "viem";
import { inclusionProof, isIncluded, merkleRoot } from "../baseline/merkle.ts";
import { fromHex, toHex } from "../core/bytes.ts";
import { checkpointsAbi as abi } from "./checkpoints-abi.ts";
import { type Contract, type ContractPlace, callContract, openContract } from "./contract.ts";
import type { LedgerKey } from "./keys.ts";
import { garbage } from "./rpc.ts";
import { sendTransaction } from "./send.ts";

/** The root of a checkpoint's lines, as the contract keeps it: RFC 9162, SHA-256, a leaf is the exact bytes of a line. */
export function checkpointRoot(lines: readonly string[]): Hex {
  return `0x${toHex(merkleRoot(lines.map((line) => Buffer.from(line))))}`;
}

/** That one line is in a checkpoint: RFC 9162 §2.1.3. Digests in hexadecimal. */
export interface CheckpointProof {
  readonly line: string;
  readonly index: number;
  readonly size: number;
  readonly nodes: readonly string[];
}

export function proveLine(lines: readonly string[], index: number): CheckpointProof {
  const leaves = lines.map((line) => Buffer.from(line));
  return { line: lines[index]!, index, size: lines.length, nodes: inclusionProof(leaves, index).map(toHex) };
}

/** Whether the line is what the root stands for; `root` is the chain's. */
export function isInCheckpoint({ line, index, size, nodes }: CheckpointProof, root: Hex): boolean {
  if (!nodes.every((node) => /^[0-9a-f]{64}$/.test(node))) return false;
  const proof = nodes.map(fromHex);
  return isIncluded({ leaf: Buffer.from(line), index, size, proof, root: fromHex(root.slice(2)) });
}

/** The number of a reporter's next checkpoint, by the endpoint's word. */
export async function nextCheckpoint(place: ContractPlace, reporter: Address): Promise<bigint> {
  const contract: Contract = await openContract("Checkpoints", place);
  const data = await callContract(contract, encodeFunctionData({ abi, functionName: "count", args: [reporter] }));
  return decoded(place, () => decodeFunctionResult({ abi, functionName: "count", data }));
}

/** The root of a reporter's checkpoint, null when there is none of that number; by the endpoint's word. */
export async function readCheckpoint(place: ContractPlace, reporter: Address, number: bigint): Promise<Hex | null> {
  const contract: Contract = await openContract("Checkpoints", place);
  const args = [reporter, number] as const;
  const data = await callContract(contract, encodeFunctionData({ abi, functionName: "rootOf", args }));
  const root = decoded(place, () => decodeFunctionResult({ abi, functionName: "rootOf", data }));
  return /^0x0+$/.test(root) ? null : root;
}

/**
 * Says a checkpoint: one transaction, however many lines it stands for. `number` must be the reporter's next one.
 * Throws `ledger-refused`, `ledger-unreachable`, `ledger-unverified`.
 */
export async function sendCheckpoint(
  place: ContractPlace & { key: LedgerKey; number: bigint; root: Hex },
): Promise<{ block: bigint; gas: bigint }> {
  const { key, number, root, ...at } = place;
  const { rpc, chainId, address } = await openContract("Checkpoints", at);
  const data = encodeFunctionData({ abi, functionName: "checkpoint", args: [number, root] });
  const { blockNumber, gasUsed } = await sendTransaction(rpc, chainId, key, { to: address, data });
  return { block: blockNumber, gas: gasUsed };
}

function decoded<T>({ url }: ContractPlace, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw garbage(url, "malformed result of a call", error);
  }
}
