import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { createKey } from "../keys/keys.ts";
import { openRpc } from "../rpc/rpc.ts";
import { ending, startTestLedger, type TestLedger, testActions, testLines } from "../testing.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

interface Posted {
  status: number;
  text: string;
}

function post(body: string, headers: Record<string, string> = {}, method = "POST"): Promise<Posted> {
  return new Promise((resolve, reject) => {
    const sent = request(ledger.chain.url, { method, headers, agent: false }, (response) => {
      let text = "";
      response.on("data", (part: Buffer) => {
        text += part.toString();
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const call = (method: string, params: unknown[] = []) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });

test("no method that changes state without a signature is there", async () => {
  const rpc = openRpc(ledger.chain.url);
  const { address } = createKey();
  const cheats: [string, unknown[]][] = [
    ["anvil_setBalance", [address, "0x1"]],
    ["anvil_setCode", [address, "0x00"]],
    ["anvil_setStorageAt", [ledger.place.registry, `0x${"0".repeat(64)}`, `0x${"1".repeat(64)}`]],
    ["anvil_impersonateAccount", [address]],
    ["anvil_reset", []],
    ["anvil_loadState", ["0x"]],
    ["hardhat_setCode", [address, "0x00"]],
    ["evm_revert", ["0x0"]],
    ["evm_mine", []],
    ["evm_increaseTime", [1000]],
    ["eth_sendTransaction", [{ from: address, to: address }]],
    ["eth_sendUnsignedTransaction", [{ from: address, to: address }]],
    ["eth_sendRawTransactionSync", ["0x00"]],
    ["eth_sign", [address, "0x00"]],
    ["debug_traceTransaction", ["0x00"]],
    ["txpool_content", []],
    ["constructor", []],
    ["ETH_CALL", []],
    ["", []],
  ];
  for (const [method, params] of cheats) {
    await assert.rejects(rpc.call(method, params), { code: "ledger-refused", message: /method not available/ }, method);
  }
});

test("only a single, well-formed, small POST to loopback's own name is answered", async () => {
  const answered = await post(call("eth_chainId"));
  assert.equal(answered.status, 200);
  assert.equal(JSON.parse(answered.text).result, `0x${ledger.chain.chainId.toString(16)}`);

  assert.equal((await post("", {}, "GET")).status, 403);
  assert.equal((await post(call("eth_chainId"), { origin: "http://example.org" })).status, 403);
  assert.equal((await post(call("eth_chainId"), { host: "example.org" })).status, 403);
  const large = await post(call("eth_chainId", ["x".repeat(600_000)])).catch(() => ({ status: 413 }));
  assert.equal(large.status, 413);
  for (const body of [
    "",
    "{",
    "[]",
    "null",
    "1",
    `[${call("eth_chainId")}]`,
    '{"method":"eth_chainId"}',
    call("eth_chainId").replace("[]", "{}"),
  ]) {
    const { status, text } = await post(body);
    assert.equal(status, 200);
    assert.ok(JSON.parse(text).error.code <= -32600, body);
  }
  assert.equal((await post(call("eth_chainId"))).status, 200, "and it still answers");
});

test("a transaction whose nonce is ahead, one for another chain, one sent twice, and nonsense are refused and change nothing", async () => {
  const rpc = openRpc(ledger.chain.url);
  const key = createKey();
  const sign = (nonce: number, chainId = Number(ledger.chain.chainId)) =>
    key.signTransaction({
      type: "legacy",
      chainId,
      nonce,
      gas: 21_000n,
      gasPrice: 0n,
      to: key.address,
    });
  const height = () => rpc.call("eth_blockNumber", []);
  const before = await height();
  const ahead = await sign(1);
  await assert.rejects(rpc.call("eth_sendRawTransaction", [ahead]), { code: "ledger-refused", message: /nonce/ });
  for (const params of [[], ["0x"], ["0x00"], ["nonsense"], [5], [`0x${"00".repeat(131_073)}`], [await sign(0), "x"]]) {
    await assert.rejects(rpc.call("eth_sendRawTransaction", params), { code: "ledger-refused" });
  }
  await assert.rejects(rpc.call("eth_sendRawTransaction", [await sign(0, 1)]), { code: "ledger-refused" });
  assert.equal(await height(), before);
  const first = await sign(0);
  await rpc.call("eth_sendRawTransaction", [first]);
  await assert.rejects(rpc.call("eth_sendRawTransaction", [first]), { code: "ledger-refused" });
  assert.equal(BigInt((await height()) as string), BigInt(before as string) + 1n, "the one ahead did not slip in");
  await rpc.call("eth_sendRawTransaction", [ahead]);
});

test("many clients at once are served one after the other, each transaction in a block of its own", async () => {
  const { propose, read } = testActions(ledger.place);
  const [a, b, c] = ledger.publishers;
  await Promise.all([
    ...[a, b, c].map((key, index) => propose(key, testLines(`at once ${index}`, 50))),
    ...Array.from({ length: 20 }, () => read("nothing")),
  ]);
  const rpc = openRpc(ledger.chain.url);
  const latest = Number(await rpc.call("eth_blockNumber", []));
  for (let number = 1; number <= latest; number++) {
    const block = (await rpc.call("eth_getBlockByNumber", [`0x${number.toString(16)}`, false])) as {
      transactions: unknown[];
    };
    assert.equal(block.transactions.length, 1, `block ${number}`);
  }
});
