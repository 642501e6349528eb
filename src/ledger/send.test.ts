import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Address, type Hex, keccak256, numberToHex, parseTransaction, toHex } from "viem";
import { sendCheckpoint } from "./checkpoints.ts";
import { deployContract } from "./deploy.ts";
import { createKey, type LedgerKey } from "./keys/keys.ts";
import { openLedger } from "./open-ledger.ts";
import { openRpc, type Rpc } from "./rpc/rpc.ts";
import { latestBlock, receiptOf } from "./rpc/rpc-values.ts";
import { sendTransaction } from "./send.ts";
import { ending, startTestLedger, type TestLedger } from "./testing.ts";
import { lieAbout, serve } from "./testing-endpoints.ts";
import { endingOf } from "./testing-proved-ledger.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

/** A checkpoint by way of this endpoint, whatever it is that it says. */
async function sayOne(url: string, address: Address, key: LedgerKey) {
  const contract = await openLedger(ledger.place).contract("Checkpoints", address);
  return sendCheckpoint(
    { ...contract, sender: async () => openRpc(url) },
    { key, number: 0n, root: `0x${"1".repeat(64)}` },
  );
}

test("a transaction that was sent is waited for also while its node cannot say what became of it", async () => {
  const { address } = await deployContract("Checkpoints", { url: ledger.chain.url, deployerKey: ledger.deployer });
  const honest = openRpc(ledger.chain.url);
  const receipts = { asked: 0 };
  const url = await serve(file, async (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    if (method === "eth_getTransactionReceipt") {
      receipts.asked++;
      const error = { code: -32000, message: "transaction indexing is in progress" };
      if (receipts.asked === 1) return response.end(JSON.stringify({ jsonrpc: "2.0", id, error }));
      if (receipts.asked === 2) return response.destroy();
    }
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...(await honest.request(method, params)) }));
  });
  const { gas } = await sayOne(url, address, createKey());
  assert.ok(gas > 0n);
  assert.equal(receipts.asked, 3);
});

test("a transaction has ended when its node's newest block is no older than the one that holds it", async () => {
  const { address } = await deployContract("Checkpoints", { url: ledger.chain.url, deployerKey: ledger.deployer });
  const honest = openRpc(ledger.chain.url);
  const before = await honest.call("eth_getBlockByNumber", ["latest", false]);
  const behind = { times: 0 };
  const state = { isSent: false };
  const url = await serve(file, async (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    const answer = await honest.request(method, params);
    if (method === "eth_sendRawTransaction") state.isSent = true;
    const isOld = state.isSent && method === "eth_getBlockByNumber" && behind.times < 2;
    if (isOld) behind.times++;
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...(isOld ? { result: before } : answer) }));
  });
  await sayOne(url, address, createKey());
  assert.equal(behind.times, 2);
});

const call = () => ({ to: ledger.deployer.address, data: "0x" as const });
const send = (rpc: Rpc, depth: number | "finalized" = 0) =>
  sendTransaction(rpc, ledger.chain.chainId, ledger.publishers[0], call(), depth);

test("a transaction is waited for until it is as deep as asked for, and sent again when its block was taken back", async (t) => {
  const honest = openRpc(ledger.chain.url);
  const state = { isTakenBack: false, asked: 0, sent: 0 };
  const url = await lieAbout(
    endingOf(t),
    ledger.chain.url,
    async (method, result) => {
      if (method !== "eth_getTransactionReceipt" || result === null) return result;
      // From the second time on its block is of another branch, until the transaction is sent again.
      state.isTakenBack = ++state.asked >= 2 && state.sent < 2;
      return state.isTakenBack ? null : result;
    },
    (method, params) => {
      if (method === "eth_sendRawTransaction") state.sent++;
      return params;
    },
  );
  const sent = send(openRpc(url), 2);
  for (let blocks = 0; blocks < 2; blocks++) {
    assert.equal(await Promise.race([sent, sleep(800, "waiting")]), "waiting", "it is not deep enough");
    await sendTransaction(honest, ledger.chain.chainId, ledger.publishers[1], call());
  }
  const receipt = await sent;
  assert.equal(state.sent, 2);
  assert.equal(receipt.blockNumber, (await latestBlock(honest)).number - 2n);
  assert.deepEqual(await receiptOf(honest, receipt.transactionHash), receipt);
});

test("what a chain calls final is waited for where the depth says so, and without a depth nothing", async (t) => {
  const honest = openRpc(ledger.chain.url);
  const state = { final: 0n };
  const url = await lieAbout(endingOf(t), ledger.chain.url, (method, result, [block]) =>
    method === "eth_getBlockByNumber" && block === "finalized"
      ? { number: numberToHex(state.final), hash: toHex(1, { size: 32 }), timestamp: "0x1" }
      : result,
  );
  await send(openRpc(url));
  const sent = send(openRpc(url), "finalized");
  assert.equal(await Promise.race([sent, sleep(500, "waiting")]), "waiting");
  state.final = (await latestBlock(honest)).number;
  assert.equal((await sent).blockNumber, state.final);
});

test("a node that has lost a transaction is given it again", async (t) => {
  const honest = openRpc(ledger.chain.url);
  const state = { given: 0 };
  const url = await serve(endingOf(t), async (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: Hex[] };
    const isLost = method === "eth_sendRawTransaction" && state.given++ === 0;
    const answer = isLost ? { result: keccak256(params[0]!) } : await honest.request(method, params);
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
  });
  assert.equal((await send(openRpc(url))).status, 1n);
  assert.equal(state.given, 2);
});

test("what a transaction pays is the suggested price and a quarter of the base fee, so that nobody bids against himself", async () => {
  const { address } = await deployContract("Checkpoints", { url: ledger.chain.url, deployerKey: ledger.deployer });
  const honest = openRpc(ledger.chain.url);
  const paid: bigint[] = [];
  const [base, tip] = [400n, 1000n];
  const url = await serve(file, async (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    const answer = (await honest.request(method, params)) as { result: object };
    const end = (told: object) => response.end(JSON.stringify({ jsonrpc: "2.0", id, ...told }));
    if (method === "eth_gasPrice") return end({ result: numberToHex(paid.at(-1) ?? tip + base) });
    if (method === "eth_getBlockByNumber")
      return end({ result: { ...answer.result, baseFeePerGas: numberToHex(base) } });
    if (method !== "eth_sendRawTransaction") return end(answer);
    paid.push(parseTransaction(params[0] as Hex).gasPrice!);
    return end({ error: { code: -32000, message: "tx fee exceeds the configured cap" } });
  });
  const key = createKey();
  for (let time = 0; time < 20; time++)
    await assert.rejects(sayOne(url, address, key), {
      code: "ledger-refused",
      message: /exceeds the configured cap/,
    });
  assert.equal(paid[0], tip + base + base / 4n);
  assert.equal(paid[19], tip + base + (20n * base) / 4n, "it rises by the base fee, not by what was paid");
});
