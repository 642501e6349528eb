import { setTimeout as sleep } from "node:timers/promises";
import { type Address, getContractAddress, type Hex, keccak256, size } from "viem";
import { PimsError } from "../core/errors.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { refusal } from "./rpc/refusal.ts";
import { garbage, type Rpc } from "./rpc/rpc.ts";
import { callQuantity, latestBlock, type Receipt, receiptOf } from "./rpc/rpc-values.ts";

/** A transaction to sign and send; without `to` it creates a contract. */
export interface Call {
  to?: Address;
  data: Hex;
}

/** Most bytes of a signed transaction. Nodes of the go-ethereum line refuse 128 KiB. */
export const maxTransactionBytes = 96 * 1024;

/** No endpoint can make a key pay more than this for a unit of gas: 1000 gwei. */
const maxGasPrice = 1_000_000_000_000n;
const maxGas = 30_000_000n;
/** How long a chain may make no block while a transaction waits. */
const PATIENCE_MS = 60_000;
/** How long a node may know nothing of a transaction before it is given it again. */
const RESEND_MS = 3000;

/** How many blocks must stand above a transaction's, or what the chain calls final. */
export type Depth = number | "finalized";

/**
 * Signs, sends, and waits until the transaction is in a block with `depth` blocks above it. A chain without finality may
 * take back a block, and a node lose what was in it: then the same bytes are sent again. Throws `ledger-refused` when
 * contract or node refuse it, `ledger-unreachable` when the chain makes no block for a minute.
 */
export async function sendTransaction(
  rpc: Rpc,
  chainId: bigint,
  key: LedgerKey,
  call: Call,
  depth: Depth = 0,
): Promise<Receipt> {
  const target = call.to === undefined ? {} : { to: call.to };
  const estimate = await rpc.request("eth_estimateGas", [{ from: key.address, ...target, data: call.data }]);
  if ("error" in estimate) throw refusal(rpc, estimate.error);
  const gas = withMargin(rpc, estimate.result);
  const nonce = await callQuantity(rpc, "eth_getTransactionCount", [key.address, "pending"]);
  const gasPrice = await goingPrice(rpc);
  if (gasPrice > maxGasPrice) throw garbage(rpc.url, "a gas price above 1000 gwei");
  if (nonce > BigInt(Number.MAX_SAFE_INTEGER)) throw garbage(rpc.url, "nonce");
  const raw = await key.signTransaction({
    type: "legacy",
    chainId: Number(chainId),
    nonce: Number(nonce),
    gas,
    gasPrice,
    data: call.data,
    ...target,
  });
  if (size(raw) > maxTransactionBytes) {
    throw new PimsError("transaction-too-large", `a transaction of ${size(raw)} bytes is more than nodes take`);
  }
  const hash = keccak256(raw);
  const sent = await rpc.request("eth_sendRawTransaction", [raw]);
  if ("error" in sent) throw refusal(rpc, sent.error);
  if (sent.result !== hash) throw garbage(rpc.url, "another transaction's hash");
  const again = call.to === undefined ? beforeAgain(key.address, nonce) : "sending again is safe";
  return waitForReceipt(rpc, raw, hash, { depth, again });
}

function beforeAgain(from: Address, nonce: bigint): string {
  const address = getContractAddress({ from, nonce });
  return `deploying again would make another contract: look first whether this one comes to be at ${address}`;
}

/**
 * The price that the node suggests, and a quarter of the base fee more, since that may rise until the next block
 * (EIP-1559). Not a quarter of the whole: a node suggests what was paid last, so whoever sends most bids against himself.
 */
async function goingPrice(rpc: Rpc): Promise<bigint> {
  const suggested = await callQuantity(rpc, "eth_gasPrice", []);
  const { baseFeePerGas = 0n } = await latestBlock(rpc);
  // The base fee is a part of what is suggested: more of it is a lie that would make the key pay more than it has.
  if (baseFeePerGas > suggested) return (suggested * 5n) / 4n;
  return suggested + baseFeePerGas / 4n;
}

/** State may change between estimate and block, so a quarter more; bounded, because the endpoint is not believed. */
function withMargin(rpc: Rpc, estimate: unknown): bigint {
  if (typeof estimate !== "string" || !/^0x[0-9a-f]{1,16}$/.test(estimate)) throw garbage(rpc.url, "gas estimate");
  const gas = (BigInt(estimate) * 5n) / 4n;
  if (gas > maxGas) throw garbage(rpc.url, "a gas estimate above 30 million");
  return gas;
}

/**
 * Of its newest block, for the node may have a receipt before its newest state is that of the receipt's block, which the
 * next call builds on; or of the newest that the depth allows. Below zero there is none yet, null: it cannot say.
 */
async function heightOf(rpc: Rpc, depth: Depth): Promise<bigint | null> {
  const block = await latestBlock(rpc, depth === "finalized" ? depth : "latest").catch(laterPerhaps);
  return block === null ? null : block.number - (depth === "finalized" ? 0n : BigInt(depth));
}

/** The transaction is sent: a node that indexes after its start, or restarts, is asked again until the deadline. */
function laterPerhaps(error: unknown): null {
  if (error instanceof PimsError && ["ledger-refused", "ledger-unreachable"].includes(error.code)) return null;
  throw error;
}

function succeeded(receipt: Receipt): Receipt {
  if (receipt.status === 1n) return receipt;
  throw new PimsError("ledger-refused", `the registry refused transaction ${receipt.transactionHash}`, {
    hint: "another publisher may have been faster: look at pims baseline list and try again",
  });
}

async function waitForReceipt(
  rpc: Rpc,
  raw: Hex,
  hash: Hex,
  { depth, again }: { depth: Depth; again: string },
): Promise<Receipt> {
  let [deadline, resendAt] = [performance.now() + PATIENCE_MS, performance.now() + RESEND_MS];
  let last: bigint | null = null;
  for (let waitMs = 5; ; waitMs = Math.min(waitMs * 2, 250)) {
    // Before the receipt: else its block could be gone, and those that were counted above another one.
    const before = depth === 0 ? null : await heightOf(rpc, depth);
    const receipt = await receiptOf(rpc, hash).catch(laterPerhaps);
    const height = depth === 0 && receipt !== null ? await heightOf(rpc, depth) : before;
    const now = performance.now();
    if (receipt !== null) {
      if (receipt.transactionHash !== hash) throw garbage(rpc.url, "another transaction's receipt");
      if (height !== null && height >= receipt.blockNumber) return succeeded(receipt);
      resendAt = now + RESEND_MS;
    } else if (now > resendAt) {
      // An answer is no news: mostly that the node knows it already.
      await rpc.request("eth_sendRawTransaction", [raw]).catch(laterPerhaps);
      resendAt = performance.now() + RESEND_MS;
    }
    // What is in a block is waited for as long as blocks come.
    if (receipt !== null && height !== last) deadline = now + PATIENCE_MS;
    last = height;
    if (now > deadline) {
      const text = `no block of the chain at ${rpc.name} holds transaction ${hash} after a minute, or none came above it`;
      throw new PimsError("ledger-unreachable", text, {
        hint: `its validators may be down or cut off, or another transaction took its place; ${again}`,
      });
    }
    await sleep(waitMs);
  }
}
