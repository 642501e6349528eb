import { type Address, fromRlp, type Hex, keccak256 } from "viem";
import { readTrie, type TakeNode, unproved, verifyTrieProof } from "./trie-proof.ts";

/** An account as a block's state has it (Yellow Paper, section 4.1). */
export interface Account {
  readonly nonce: bigint;
  readonly balance: bigint;
  readonly storageRoot: Hex;
  readonly codeHash: Hex;
}

/**
 * An account of the state with this root, null when it is proved that there is none. `proof`: `accountProof` of
 * eth_getProof (EIP-1186). Throws `ledger-unverified`.
 */
export function verifyAccount(stateRoot: Hex, address: Address, proof: readonly Hex[]): Account | null {
  return parseAccount(verifyTrieProof(stateRoot, keccak256(address), proof));
}

/** The same with nodes from elsewhere. */
export function readAccount(stateRoot: Hex, address: Address, take: TakeNode): Account | null {
  return parseAccount(readTrie(stateRoot, keccak256(address), take));
}

/**
 * The 32 bytes in a slot of an account's storage, zero when it is proved that nothing was ever put there. `proof`: the
 * slot's `proof` of eth_getProof. Throws `ledger-unverified`.
 */
export function verifySlot(storageRoot: Hex, slot: Hex, proof: readonly Hex[]): Hex {
  return parseWord(verifyTrieProof(storageRoot, keccak256(slot), proof));
}

/** The same with nodes from elsewhere. */
export function readSlot(storageRoot: Hex, slot: Hex, take: TakeNode): Hex {
  return parseWord(readTrie(storageRoot, keccak256(slot), take));
}

function parseAccount(value: Uint8Array | null): Account | null {
  if (value === null) return null;
  const parts = decoded(value);
  if (!Array.isArray(parts) || parts.length !== 4) throw unproved("an account of no known form");
  const [nonce, balance, storageRoot, codeHash] = parts as unknown[];
  return {
    nonce: integer(nonce, 8),
    balance: integer(balance, 32),
    storageRoot: hash(storageRoot),
    codeHash: hash(codeHash),
  };
}

function parseWord(value: Uint8Array | null): Hex {
  if (value === null) return `0x${"0".repeat(64)}`;
  // A slot that is set to zero leaves the trie; anvil alone keeps there, as zero, what was only read.
  const word = integer(decoded(value), 32);
  return `0x${word.toString(16).padStart(64, "0")}`;
}

function decoded(value: Uint8Array): unknown {
  try {
    return fromRlp(value, "hex");
  } catch (error) {
    throw unproved("a value that is not RLP", error);
  }
}

/** Big-endian without leading zeros; zero is the empty string. */
function integer(item: unknown, maxBytes: number): bigint {
  if (typeof item !== "string" || item.length > 2 + 2 * maxBytes || item.startsWith("0x00"))
    throw unproved("a number of no known form");
  return item === "0x" ? 0n : BigInt(item);
}

function hash(item: unknown): Hex {
  if (typeof item !== "string" || item.length !== 66) throw unproved("a hash of another length");
  return item as Hex;
}
