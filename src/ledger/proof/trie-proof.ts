import { fromRlp, type Hex, hexToBytes, keccak256 } from "viem";
import { PimsError } from "../../core/errors.ts";

/** Root of a trie that holds nothing: keccak256 of the RLP of an empty string. */
export const emptyTrieRoot: Hex = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";

/** A key is 32 bytes, so a path has 64 digits and at most one node for each, and a leaf. */
export const maxProofNodes = 65;
/** A branch of sixteen hashes has 532 bytes, the leaf of an account below 150. */
export const maxNodeBytes = 1024;
const DIGITS = 64;

type Item = Uint8Array | readonly Item[];
/** The parts of a node. */
export type TrieNode = readonly Item[];
/** Gives the node with a hash. Throws when it has none, or one with another hash. */
export type TakeNode = (hash: Hex) => TrieNode;

/**
 * What a Merkle-Patricia trie with this root holds under a key, null when a proof shows that it holds nothing (Yellow
 * Paper, appendix D). `key`: 32 bytes, as in the tries of accounts and of storage, where it is the hash of what is
 * asked for. `proof`: the nodes' RLP from the root on, none missing and none too many.
 * Throws `ledger-unverified` for whatever does not lead to the root.
 */
export function verifyTrieProof(root: Hex, key: Hex, proof: readonly Hex[]): Uint8Array | null {
  if (proof.length > maxProofNodes) throw unproved("too many nodes");
  if (root === emptyTrieRoot) {
    // Some nodes give the empty trie's one node, others nothing.
    if (proof.length === 0 || (proof.length === 1 && proof[0] === "0x80")) return null;
    throw unproved("nodes of an empty trie");
  }
  let used = 0;
  const value = readTrie(root, key, (hash) => parseNode(hash, proof[used++]));
  if (used !== proof.length) throw unproved("nodes that lie on no path");
  return value;
}

/** The same with nodes from elsewhere. Throws `ledger-unverified` and what `take` throws. */
export function readTrie(root: Hex, key: Hex, take: TakeNode): Uint8Array | null {
  return root === emptyTrieRoot ? null : follow(take(root), digitsOf(hexToBytes(key)), take);
}

function follow(root: TrieNode, digits: readonly number[], take: TakeNode) {
  if (digits.length !== DIGITS) throw unproved("a key of another length");
  let node = root;
  for (let at = 0; ; ) {
    let child: Item | undefined;
    if (node.length === 17) {
      // All keys are of one length: none ends in a branch.
      if (at === DIGITS || !isEmpty(node[16])) throw unproved("a key that ends in a branch");
      child = node[digits[at++]!];
      if (isEmpty(child)) return null;
    } else if (node.length === 2) {
      const { isLeaf, path } = parsePath(node[0]);
      const fits = path.every((digit, index) => digit === digits[at + index]);
      at += path.length;
      if (isLeaf ? at !== DIGITS : at >= DIGITS || path.length === 0) throw unproved("a path of the wrong length");
      if (!fits) return null;
      child = node[1];
      if (isLeaf) return heldIn(child);
    } else throw unproved("a node of no known form");
    if (isBytes(child)) node = take(hashOf(child));
    // A node whose RLP is shorter than a hash stands in its parent.
    else if (child !== undefined) node = child;
  }
}

/** The parts of the node with this hash. Throws `ledger-unverified`. */
export function parseNode(hash: Hex, rlp: Hex | undefined): TrieNode {
  if (rlp === undefined) throw unproved("a node is missing");
  if (rlp.length > 2 + 2 * maxNodeBytes) throw unproved("a node is too long");
  let node: Item;
  try {
    if (keccak256(hexToBytes(rlp)) !== hash) throw unproved("a node has another hash");
    node = fromRlp(rlp, "bytes");
  } catch (error) {
    throw error instanceof PimsError ? error : unproved("a node is not RLP", error);
  }
  if (isBytes(node)) throw unproved("a node of no known form");
  return node;
}

/** Hex-prefix encoding, appendix C: the first digit tells leaf from extension, and whether the path is odd. */
function parsePath(encoded: Item | undefined): { isLeaf: boolean; path: number[] } {
  if (!isBytes(encoded)) throw unproved("a path of no known form");
  const [kind, padding, ...even] = digitsOf(encoded);
  if (kind === undefined || padding === undefined || kind > 3) throw unproved("a path of no known form");
  const isOdd = (kind & 1) === 1;
  if (!isOdd && padding !== 0) throw unproved("a path of no known form");
  return { isLeaf: kind >= 2, path: isOdd ? [padding, ...even] : even };
}

function digitsOf(bytes: Uint8Array): number[] {
  return Array.from(bytes).flatMap((byte) => [byte >> 4, byte & 15]);
}

function heldIn(item: Item | undefined): Uint8Array {
  if (isBytes(item) && item.length > 0) return item;
  throw unproved("a leaf without a value");
}

function hashOf(reference: Uint8Array): Hex {
  if (reference.length !== 32) throw unproved("a reference that is no hash");
  return `0x${Buffer.from(reference).toString("hex")}`;
}

function isBytes(item: Item | undefined): item is Uint8Array {
  return item instanceof Uint8Array;
}

function isEmpty(item: Item | undefined): boolean {
  return isBytes(item) && item.length === 0;
}

/** A proof that proves nothing. */
export function unproved(what: string, cause?: unknown): PimsError {
  return new PimsError("ledger-unverified", `a proof of state does not lead to its root (${what})`, { cause });
}
