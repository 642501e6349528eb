import { PimsError } from "../../core/errors.ts";
import { garbage, type Rpc } from "../rpc/rpc.ts";
import { callQuantity } from "../rpc/rpc-values.ts";
import { type Header, verifyHeader } from "./block-header.ts";

/** A block's header from an endpoint, hashed anew. `block`: its number in hexadecimal, or a word of eth_getBlockByNumber. */
export async function readHeader(rpc: Rpc, block: string): Promise<Header> {
  const answer = await rpc.call("eth_getBlockByNumber", [block, false]);
  if (answer === null) throw garbage(rpc.url, `it has no block ${block}`);
  const header = accuse(rpc, () => verifyHeader(answer));
  if (block.startsWith("0x") && header.number !== BigInt(block)) throw garbage(rpc.url, "another block than asked for");
  return header;
}

/** The newest block's header of an endpoint of this chain. Headers do not say which chain they are of, endpoints do. */
export async function readHead(rpc: Rpc, chainId: bigint): Promise<Header> {
  const [said, header] = await Promise.all([callQuantity(rpc, "eth_chainId", []), readHeader(rpc, "latest")]);
  if (said === chainId) return header;
  throw new PimsError("ledger-unverified", `the chain at ${rpc.name} has number ${said}, not ${chainId}`, {
    hint: "see the configured 'chainId', and the endpoint's address",
  });
}

/** What is wrong with an answer is its endpoint's fault. */
export function accuse<T>(rpc: Rpc, verify: () => T): T {
  try {
    return verify();
  } catch (error) {
    throw error instanceof PimsError ? garbage(rpc.url, error.message, error) : error;
  }
}
