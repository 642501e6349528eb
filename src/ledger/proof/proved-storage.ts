import type { Hex } from "viem";
import type { BelievedHeader } from "../header/agree-on-header.ts";
import type { Endpoints } from "../rpc/endpoints.ts";
import {
  type ContractAddress,
  type ProvedSlot,
  type ProvedSlots,
  type ProvedWords,
  proveSlots,
  wordsOf,
} from "./prove-words.ts";

/** Some thousand images' words; then it begins anew. */
const MAX_SLOTS = 32_768;

/**
 * A contract's storage, of which nothing is asked twice while it does not change: what was proved of it holds at every block
 * at which its account has the same storage root. So at a new block one proof of the account answers for all images. What
 * it gives is the same as a proof of that block would be, node for node.
 */
export class ProvedStorage {
  readonly #endpoints: Endpoints;
  readonly #contract: ContractAddress;
  #account: { readonly block: Hex; readonly proved: Promise<ProvedSlots> } | undefined;
  #known: { readonly storageRoot: Hex; readonly block: bigint; readonly slots: Map<Hex, ProvedSlot> } | undefined;
  /** One string for each node, that many paths share. */
  readonly #nodes = new Map<Hex, Hex>();

  constructor(endpoints: Endpoints, contract: ContractAddress) {
    this.#endpoints = endpoints;
    this.#contract = contract;
  }

  /** Words at an agreed block. Throws as `proveSlots`. */
  async words(agreed: BelievedHeader, slots: readonly Hex[]): Promise<ProvedWords> {
    const { storageRoot, accountNodes } = await this.#accountAt(agreed);
    const known = this.#slotsOf(storageRoot, agreed.header.number);
    const found = new Map<Hex, ProvedSlot>();
    for (const slot of slots) {
      const one = known.get(slot);
      if (one !== undefined) found.set(slot, one);
    }
    const missing = slots.filter((slot) => !found.has(slot));
    if (missing.length > 0) {
      const proved = await proveSlots(this.#endpoints, agreed, this.#contract, missing);
      if (known.size + missing.length > MAX_SLOTS) {
        known.clear();
        this.#nodes.clear();
      }
      for (const [index, slot] of missing.entries()) {
        const one = this.#shared(proved.slots[index]!);
        known.set(slot, one);
        found.set(slot, one);
      }
    }
    return wordsOf({ storageRoot, accountNodes, slots: slots.map((slot) => found.get(slot)!) });
  }

  /** Asked for once a block, however many wait for it; what failed is asked for again. */
  #accountAt(agreed: BelievedHeader): Promise<ProvedSlots> {
    const block = agreed.header.hash;
    if (this.#account?.block === block) return this.#account.proved;
    const proved = proveSlots(this.#endpoints, agreed, this.#contract, []);
    this.#account = { block, proved };
    proved.catch(() => {
      if (this.#account?.proved === proved) this.#account = undefined;
    });
    return proved;
  }

  /** What is known of a storage; of one that a later block has not any more nothing is kept. */
  #slotsOf(storageRoot: Hex, block: bigint): Map<Hex, ProvedSlot> {
    if (this.#known?.storageRoot === storageRoot) return this.#known.slots;
    const slots = new Map<Hex, ProvedSlot>();
    if (this.#known === undefined || block >= this.#known.block) {
      this.#known = { storageRoot, block, slots };
      this.#nodes.clear();
    }
    return slots;
  }

  #shared({ word, nodes }: ProvedSlot): ProvedSlot {
    const shared = (node: Hex): Hex => {
      const known = this.#nodes.get(node);
      if (known === undefined) this.#nodes.set(node, node);
      return known ?? node;
    };
    return { word, nodes: nodes.map(shared) };
  }
}
