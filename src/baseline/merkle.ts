import { bytesEqual } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";

const LEAF = new Uint8Array([0x00]);
const NODE = new Uint8Array([0x01]);

/** Most nodes that a proof can have: a tree's size is a safe integer, below 2^53. */
const MAX_PROOF_NODES = 53;

/** RFC 9162 §2.1.1: the hash of a leaf. The prefix keeps an inner node from passing for a leaf. */
export function leafHash(leaf: Uint8Array): Uint8Array {
  return sha256(LEAF, leaf);
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE, left, right);
}

/** RFC 9162 §2.1.1: the Merkle tree hash with SHA-256, 32 bytes. Without leaves it is the hash of nothing. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  return rootOfHashes(leaves.map(leafHash));
}

/** Pairs neighbours level by level; one left over moves up as it is, which is the RFC's split at a power of two. */
function rootOfHashes(hashes: readonly Uint8Array[]): Uint8Array {
  let level = hashes;
  while (level.length > 1) level = nextLevel(level);
  return level[0] ?? sha256(new Uint8Array(0));
}

function nextLevel(level: readonly Uint8Array[]): Uint8Array[] {
  const next: Uint8Array[] = [];
  for (let at = 0; at + 1 < level.length; at += 2) next.push(nodeHash(level[at]!, level[at + 1]!));
  if (level.length % 2 === 1) next.push(level.at(-1)!);
  return next;
}

/**
 * RFC 9162 §2.1.3.1: the nodes that prove that leaf `index` is in the tree, from the leaf's neighbour upwards.
 * Throws RangeError where there is no such leaf.
 */
export function inclusionProof(leaves: readonly Uint8Array[], index: number): Uint8Array[] {
  if (!Number.isInteger(index) || index < 0 || index >= leaves.length) throw new RangeError(`no leaf ${index}`);
  const proof: Uint8Array[] = [];
  let level = leaves.map(leafHash);
  for (let at = index; level.length > 1; at = Math.floor(at / 2)) {
    const neighbour = level[at % 2 === 0 ? at + 1 : at - 1];
    if (neighbour !== undefined) proof.push(neighbour);
    level = nextLevel(level);
  }
  return proof;
}

/** What an inclusion proof claims; every part of it may come from somebody who is not believed, except `root`. */
export interface InclusionClaim {
  readonly leaf: Uint8Array;
  readonly index: number;
  /** Number of leaves of the tree. */
  readonly size: number;
  readonly proof: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/** RFC 9162 §2.1.3.2: whether the leaf is in the tree with this root, at this place. */
export function isIncluded({ leaf, index, size, proof, root }: InclusionClaim): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  if (proof.length > MAX_PROOF_NODES) return false;
  let place = index;
  let last = size - 1;
  let hash = leafHash(leaf);
  for (const node of proof) {
    if (last === 0 || node.length !== 32) return false;
    if (place % 2 === 1 || place === last) {
      hash = nodeHash(node, hash);
      // A left-over node has moved up unpaired until it became a right one.
      while (place % 2 === 0 && place !== 0) {
        place = Math.floor(place / 2);
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, node);
    }
    place = Math.floor(place / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && bytesEqual(hash, root);
}
