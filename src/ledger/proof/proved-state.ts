import type { Address, Hex } from "viem";
import type { Header } from "../header/block-header.ts";

/** Where something was read, and the nodes of the tries that prove it to anybody who has the block's header. */
export interface ProvedState {
  readonly chainId: bigint;
  readonly contract: Address;
  readonly header: Header;
  /** Headers of the blocks above it, as `BelievedHeader.above`. */
  readonly above: readonly Header[];
  /** RLP. In no order, and one may be there several times. */
  readonly nodes: readonly Hex[];
}
