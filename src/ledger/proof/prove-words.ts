import { setTimeout as sleep } from "node:timers/promises";
import type { Address, Hex } from "viem";
import { z } from "zod";
import { PimsError } from "../../core/errors.ts";
import { artifactOf, type ContractName } from "../contract/artifact.ts";
import { noContract } from "../contract/no-contract.ts";
import type { BelievedHeader } from "../header/agree-on-header.ts";
import type { Endpoints } from "../rpc/endpoints.ts";
import { garbage, type Rpc } from "../rpc/rpc.ts";
import { verifyAccount, verifySlot } from "./state-proof.ts";
import { maxNodeBytes, maxProofNodes } from "./trie-proof.ts";

const nodesSchema = z
  .array(
    z
      .string()
      .max(2 + 2 * maxNodeBytes)
      .regex(/^0x([0-9a-f]{2})*$/)
      .transform((text) => text as Hex),
  )
  .max(maxProofNodes);
/**
 * As many slots as one request asks for: with a million words in a storage a proof has some six nodes, and those of so many
 * slots below half of what an answer may have.
 */
export const maxSlots = 64;
/** How long a block that one endpoint has is waited for at the others, and how often they are asked. */
const WAIT_MS = 2000;
const PAUSE_MS = 200;

/** What else eth_getProof says follows from the proofs (EIP-1186). */
const proofSchema = z.object({
  accountProof: nodesSchema,
  storageProof: z.array(z.object({ proof: nodesSchema })).max(maxSlots),
});

/** Words that were proved, and the nodes of the tries that prove them to anybody. */
export interface ProvedWords {
  readonly words: readonly Hex[];
  readonly nodes: readonly Hex[];
}

/** A word with the nodes from its storage's root to it. */
export interface ProvedSlot {
  readonly word: Hex;
  readonly nodes: readonly Hex[];
}

/** What a contract's account holds at a block, with the nodes from the block's root to the account. */
export interface ProvedSlots {
  readonly storageRoot: Hex;
  readonly accountNodes: readonly Hex[];
  /** In the order in which they were asked for. */
  readonly slots: readonly ProvedSlot[];
}

export interface ContractAddress {
  readonly name: ContractName;
  readonly address: Address;
}

/** Words of a contract's storage at an agreed block. Throws as `proveSlots`. */
export async function proveWords(
  endpoints: Endpoints,
  agreed: BelievedHeader,
  contract: ContractAddress,
  slots: readonly Hex[],
): Promise<ProvedWords> {
  return wordsOf(await proveSlots(endpoints, agreed, contract, slots));
}

export function wordsOf({ accountNodes, slots }: ProvedSlots): ProvedWords {
  return { words: slots.map(({ word }) => word), nodes: [accountNodes, ...slots.map(({ nodes }) => nodes)].flat() };
}

/**
 * Words of a contract's storage at an agreed block, each proved to be what the chain's state holds. The contract's code
 * is proved to be what this version compiles to, by its hash. Endpoints whose proofs prove nothing are left out.
 * Throws `ledger-no-registry`, `ledger-unverified`, `ledger-unreachable`, `ledger-refused`.
 */
export async function proveSlots(
  endpoints: Endpoints,
  { header, by, others = [] }: BelievedHeader,
  { name, address }: ContractAddress,
  slots: readonly Hex[],
): Promise<ProvedSlots> {
  // By its hash, so that a node which has meanwhile gone over to another branch is not blamed for that.
  const block = { blockHash: header.hash };
  const question = async (rpc: Rpc) => {
    const answer = proofSchema.safeParse(await rpc.call("eth_getProof", [address, slots, block]));
    if (!answer.success || answer.data.storageProof.length !== slots.length) throw garbage(rpc.url, "malformed proof");
    const { accountProof, storageProof } = answer.data;
    return proved(rpc, () => {
      const account = verifyAccount(header.stateRoot, address, accountProof);
      const proofs =
        account === null
          ? []
          : storageProof.map(({ proof: nodes }, index) => ({
              word: verifySlot(account.storageRoot, slots[index]!, nodes),
              nodes,
            }));
      return { account, accountProof, proofs };
    });
  };
  // Whoever has a block before the others, a liar also, could else keep it from being read.
  const askLate = async (otherwise: () => Promise<Awaited<ReturnType<typeof question>>>) => {
    const late = await whoHas(others, header.hash);
    return late.length > 0 ? endpoints.askInTurn(late, question) : otherwise();
  };
  const right = endpoints.withoutFault();
  const { account, accountProof, proofs } = await (by.some((rpc) => right.includes(rpc))
    ? endpoints.askInTurn(by, question).catch((error: unknown) => askLate(() => Promise.reject(error)))
    : askLate(() => endpoints.askInTurn(by, question)));
  // That is no endpoint's fault: it is proved.
  if (account?.codeHash !== artifactOf(name).codeHash)
    throw noContract(name, by.map((rpc) => rpc.name).join(", "), address);
  return { storageRoot: account.storageRoot, accountNodes: accountProof, slots: proofs };
}

/** Those that have a block, once one of them has: that it is not there yet is nobody's fault. */
async function whoHas(rpcs: readonly Rpc[], hash: Hex): Promise<Rpc[]> {
  const deadline = performance.now() + WAIT_MS;
  const hasIt = async (rpc: Rpc): Promise<boolean> => {
    const answer = await rpc.request("eth_getBlockByHash", [hash, false]).catch(() => ({ result: null }));
    return "result" in answer && answer.result !== null;
  };
  for (;;) {
    const have = await Promise.all(rpcs.map(hasIt));
    const late = rpcs.filter((_, index) => have[index]);
    if (rpcs.length === 0 || late.length > 0 || performance.now() > deadline) return late;
    await sleep(PAUSE_MS);
  }
}

function proved<T>(rpc: Rpc, verify: () => T): T {
  try {
    return verify();
  } catch (error) {
    throw error instanceof PimsError ? garbage(rpc.url, error.message, error) : error;
  }
}
