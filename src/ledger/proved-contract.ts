import type { Address, Hex } from "viem";
import { chooseSender, type Intent } from "./choose-sender.ts";
import type { ContractName } from "./contract/artifact.ts";
import type { BelievedHeader } from "./header/agree-on-header.ts";
import type { Header } from "./header/block-header.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { maxSlots, proveWords } from "./proof/prove-words.ts";
import type { Endpoints } from "./rpc/endpoints.ts";
import type { Rpc } from "./rpc/rpc.ts";
import type { Receipt } from "./rpc/rpc-values.ts";
import { type Depth, sendTransaction } from "./send.ts";

/** As many requests as are under way at a time. */
const REQUESTS = 4;

/** At which block something was read, and how many of how many endpoints have that block. */
export interface ReadAt {
  readonly block: Header;
  readonly agreed: number;
  readonly endpoints: number;
  /** Whether seals prove it to be the chain's, so that one endpoint that has it is enough. */
  readonly isSealed: boolean;
}

/** A contract as of one agreed block, so that answers to several questions belong together. */
export interface ProvedContract extends ReadAt {
  readonly chainId: bigint;
  readonly address: Address;
  /** An endpoint that has the block and has done nothing wrong since. */
  readonly rpc: Rpc;
  /** Whom to send a transaction to. */
  sender(intent: Intent): Promise<Rpc>;
  /** How many blocks must stand above a transaction's until it counts. */
  readonly depth: Depth;
  /** Words of its storage, however many, each proved. Throws as `proveWords`. */
  words(slots: readonly Hex[]): Promise<Hex[]>;
}

export function provedContract(
  endpoints: Endpoints,
  agreed: BelievedHeader,
  place: { name: ContractName; address: Address },
  { isSealed, depth }: { isSealed: boolean; depth: Depth },
): ProvedContract {
  const { chainId, header, by } = agreed;
  return {
    ...{ chainId, address: place.address, block: header },
    ...{ agreed: by.length, endpoints: endpoints.all.length, isSealed, depth },
    get rpc() {
      const first = endpoints.withoutFault().find((rpc) => by.includes(rpc));
      return first ?? by[0]!;
    },
    sender: (intent) => chooseSender(endpoints, by, intent),
    async words(slots) {
      const parts: (readonly Hex[])[] = [];
      for (let at = 0; at < slots.length; at += maxSlots) parts.push(slots.slice(at, at + maxSlots));
      const words: Hex[] = [];
      while (parts.length > 0) {
        const asked = parts.splice(0, REQUESTS).map((part) => proveWords(endpoints, agreed, place, part));
        for (const proved of await Promise.all(asked)) words.push(...proved.words);
      }
      return words;
    },
  };
}

/** Calls a contract by a transaction. Throws as `sendTransaction`. */
export async function sendTo(contract: ProvedContract, key: LedgerKey, data: Hex): Promise<Receipt> {
  const { chainId, address, depth } = contract;
  const rpc = await contract.sender({ from: key.address, to: address, data });
  return sendTransaction(rpc, chainId, key, { to: address, data }, depth);
}
