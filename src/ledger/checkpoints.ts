import { type Address, encodeFunctionData, type Hex, hexToBigInt } from "viem";
import { inclusionProof, isIncluded, merkleRoot } from "../baseline/merkle.ts";
import { fromHex, toHex } from "../core/bytes.ts";
import { checkpointsAbi as abi } from "./contract/checkpoints-abi.ts";
import { countSlot, rootSlot } from "./contract/checkpoints-storage.ts";
import { zeroHash } from "./contract/identity.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { type ProvedContract, sendTo } from "./proved-contract.ts";

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

/** The number of a reporter's next checkpoint: how many there are. */
export async function nextCheckpoint(contract: ProvedContract, reporter: Address): Promise<bigint> {
  const [count] = await contract.words([countSlot(reporter)]);
  return hexToBigInt(count!);
}

/** The root of a reporter's checkpoint, null when there is none of that number. */
export async function readCheckpoint(contract: ProvedContract, reporter: Address, number: bigint): Promise<Hex | null> {
  const [root] = await contract.words([rootSlot(reporter, number)]);
  return root === zeroHash ? null : root!;
}

/**
 * Says a checkpoint: one transaction, however many lines it stands for. `number` must be the reporter's next one.
 * Throws `ledger-refused`, `ledger-unreachable`, `ledger-unverified`.
 */
export async function sendCheckpoint(
  contract: ProvedContract,
  { key, number, root }: { key: LedgerKey; number: bigint; root: Hex },
): Promise<{ block: bigint; gas: bigint }> {
  const data = encodeFunctionData({ abi, functionName: "checkpoint", args: [number, root] });
  const { blockNumber, gasUsed } = await sendTo(contract, key, data);
  return { block: blockNumber, gas: gasUsed };
}
