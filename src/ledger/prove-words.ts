import type { Address, Hex } from "viem";
import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import type { AgreedHeader } from "./agree-on-header.ts";
import { artifactOf, type ContractName } from "./artifact.ts";
import type { Endpoints } from "./endpoints.ts";
import { noContract } from "./no-contract.ts";
import { garbage, type Rpc } from "./rpc.ts";
import { type Account, verifyAccount, verifySlot } from "./state-proof.ts";
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
/** What else eth_getProof says follows from the proofs (EIP-1186). */
const proofSchema = z.object({
  accountProof: nodesSchema,
  storageProof: z.array(z.object({ proof: nodesSchema })).max(16),
});

/** Words that were proved, and the nodes of the tries that prove them to anybody. */
export interface ProvedWords {
  readonly words: readonly Hex[];
  readonly nodes: readonly Hex[];
}

/**
 * Words of a contract's storage at an agreed block, each proved to be what the chain's state holds. The contract's code
 * is proved to be what this version compiles to, by its hash. Endpoints whose proofs prove nothing are left out.
 * Throws `ledger-no-registry`, `ledger-unverified`, `ledger-unreachable`, `ledger-refused`.
 */
export async function proveWords(
  endpoints: Endpoints,
  { header, by }: AgreedHeader,
  { name, address }: { name: ContractName; address: Address },
  slots: readonly Hex[],
): Promise<ProvedWords> {
  // By its hash, so that a node which has meanwhile gone over to another branch is not blamed for that.
  const block = { blockHash: header.hash };
  const { account, words, nodes } = await endpoints.askInTurn(by, async (rpc) => {
    const answer = proofSchema.safeParse(await rpc.call("eth_getProof", [address, slots, block]));
    if (!answer.success || answer.data.storageProof.length !== slots.length) throw garbage(rpc.url, "malformed proof");
    const { accountProof, storageProof } = answer.data;
    return proved(rpc, () => {
      const account = verifyAccount(header.stateRoot, address, accountProof);
      const wordOf = ({ storageRoot }: Account, index: number) =>
        verifySlot(storageRoot, slots[index]!, storageProof[index]!.proof);
      const words = account === null ? [] : slots.map((_, index) => wordOf(account, index));
      return { account, words, nodes: [accountProof, ...storageProof.map(({ proof }) => proof)].flat() };
    });
  });
  // That is no endpoint's fault: it is proved.
  if (account?.codeHash !== artifactOf(name).codeHash)
    throw noContract(name, by.map((rpc) => rpc.name).join(", "), address);
  return { words, nodes };
}

function proved<T>(rpc: Rpc, verify: () => T): T {
  try {
    return verify();
  } catch (error) {
    throw error instanceof PimsError ? garbage(rpc.url, error.message, error) : error;
  }
}
