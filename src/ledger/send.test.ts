import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { sendCheckpoint } from "./checkpoints.ts";
import { deployContract } from "./deploy.ts";
import { createKey } from "./keys.ts";
import { openRpc } from "./rpc.ts";
import { ending, startTestLedger, type TestLedger } from "./testing.ts";
import { serve } from "./testing-endpoints.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

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
  const { gas } = await sendCheckpoint({ url, address, key: createKey(), number: 0n, root: `0x${"1".repeat(64)}` });
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
  await sendCheckpoint({ url, address, key: createKey(), number: 0n, root: `0x${"1".repeat(64)}` });
  assert.equal(behind.times, 2);
});
