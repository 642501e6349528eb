import { type Hex, keccak256 } from "viem";
import { parseNode, type TakeNode, type TrieNode, unproved } from "./trie-proof.ts";

/**
 * Nodes of tries that several proofs share, each there once, in the order in which reading first takes them. So the same
 * reads have one sequence of nodes only, and one that is never taken costs nothing.
 */
export class SharedNodes {
  readonly #given: readonly Hex[];
  readonly #taken = new Map<Hex, TrieNode>();

  /** `given`: RLP, not believed. */
  constructor(given: readonly Hex[]) {
    this.#given = given;
  }

  /** Throws `ledger-unverified`. */
  readonly take: TakeNode = (hash) => {
    const known = this.#taken.get(hash);
    if (known !== undefined) return known;
    const node = parseNode(hash, this.#given[this.#taken.size]);
    this.#taken.set(hash, node);
    return node;
  };

  /** Throws `ledger-unverified` when there are more than were taken. */
  end(): void {
    if (this.#taken.size !== this.#given.length) throw unproved("nodes that lie on no path");
  }
}

/** Finds out which nodes reading takes, and in which order, for `SharedNodes` to be given. */
export class NodeCollector {
  readonly #given: ReadonlyMap<Hex, Hex>;
  readonly #taken = new Map<Hex, TrieNode>();

  constructor(given: Iterable<Hex>) {
    this.#given = new Map([...new Set(given)].map((rlp) => [keccak256(rlp), rlp]));
  }

  /** Throws `ledger-unverified`. */
  readonly take: TakeNode = (hash) => {
    const node = this.#taken.get(hash) ?? parseNode(hash, this.#given.get(hash));
    this.#taken.set(hash, node);
    return node;
  };

  /** RLP. */
  get taken(): Hex[] {
    return [...this.#taken.keys()].map((hash) => this.#given.get(hash)!);
  }
}
