import { PimsError } from "../core/errors.ts";
import { type Header, verifyHeader } from "./block-header.ts";
import { garbage, type Rpc } from "./rpc.ts";

/** A block's header from an endpoint, hashed anew. `block`: its number in hexadecimal, or a word of eth_getBlockByNumber. */
export async function readHeader(rpc: Rpc, block: string): Promise<Header> {
  const answer = await rpc.call("eth_getBlockByNumber", [block, false]);
  if (answer === null) throw garbage(rpc.url, `it has no block ${block}`);
  const header = accuse(rpc, () => verifyHeader(answer));
  if (block.startsWith("0x") && header.number !== BigInt(block)) throw garbage(rpc.url, "another block than asked for");
  return header;
}

function accuse<T>(rpc: Rpc, verify: () => T): T {
  try {
    return verify();
  } catch (error) {
    throw error instanceof PimsError ? garbage(rpc.url, error.message, error) : error;
  }
}
