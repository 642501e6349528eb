import type { Address, Hex } from "viem";
import { PimsError } from "../../core/errors.ts";
import { artifactOf, type ContractName } from "../contract/artifact.ts";
import { readAccount, readSlot } from "./state-proof.ts";
import type { TakeNode } from "./trie-proof.ts";

/** Gives the words in these slots. */
export type ReadWords = (slots: readonly Hex[]) => Hex[];

/**
 * Reads a contract's storage in a block's state from nodes that are at hand. Its code must be what this version compiles
 * to. Throws `ledger-unverified`, and so does what it returns.
 */
export function readContract(
  stateRoot: Hex,
  { name, address }: { name: ContractName; address: Address },
  take: TakeNode,
): ReadWords {
  const account = readAccount(stateRoot, address, take);
  if (account?.codeHash !== artifactOf(name).codeHash)
    throw new PimsError("ledger-unverified", `the contract at ${address} is no ${name} of this version`);
  return (slots) => slots.map((slot) => readSlot(account.storageRoot, slot, take));
}
