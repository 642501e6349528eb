import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, type TestContext, test } from "node:test";
import type { Hex } from "viem";
import { createKey, type LedgerKey, type Transaction } from "./keys.ts";
import { openRemoteSigner } from "./remote-signer.ts";
import { ending, startTestLedger, type TestLedger, testActions, testLines } from "./testing.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

type Fields = Record<"to" | "data" | "nonce" | "gas" | "gasPrice" | "chainId" | "value", Hex>;

/** A signer as the JSON-RPC describes it, which keeps one key. `tamper` changes what it signs, `answer` what it says. */
async function startSigner(
  t: TestContext,
  key: LedgerKey,
  { tamper = (asked: Transaction): Transaction => asked, answer = (raw: Hex): unknown => ({ raw, tx: {} }) } = {},
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request as AsyncIterable<Buffer>) body += part.toString();
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: [Fields] };
    asked.push(method);
    const { to, data, nonce, gas, gasPrice, chainId, value } = params[0];
    const transaction: Transaction = {
      ...{ type: "legacy", to, data, nonce: Number(nonce), gas: BigInt(gas), gasPrice: BigInt(gasPrice) },
      ...{ chainId: Number(chainId), value: BigInt(value) },
    };
    const result = answer(await key.signTransaction(tamper(transaction)));
    response.end(
      JSON.stringify({
        jsonrpc: "2.0",
        id,
        ...(result === undefined ? { error: { code: 1, message: "denied" } } : { result }),
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test("a publisher whose key is with a remote signer proposes, and one approves", async (t) => {
  const [a, b] = ledger.publishers;
  const actions = testActions(ledger.place);
  const one = await startSigner(t, a);
  const { id } = await actions.propose(openRemoteSigner(one.url, a.address), testLines("remote", 3));
  const two = await startSigner(t, b, { answer: (raw) => raw });
  assert.equal((await actions.approve(openRemoteSigner(two.url, b.address.toLowerCase()), id)).status, "approved");
  assert.deepEqual(one.asked, ["eth_signTransaction", "eth_signTransaction"]);
});

test("what the signer signs is taken only when it is what was asked for, by the key that was named", async (t) => {
  const [a, b] = ledger.publishers;
  const actions = testActions(ledger.place);
  const lines = testLines("tampered", 1);
  const refused = { code: "signer-refused" };
  const tampers: ((asked: Transaction) => Transaction)[] = [
    (asked) => ({ ...asked, value: 1n }),
    (asked) => ({ ...asked, to: b.address }),
    (asked) => ({ ...asked, data: "0x12" }),
    (asked) => ({ ...asked, nonce: asked.nonce! + 1 }),
    (asked) => ({ ...asked, gas: asked.gas! + 1n }),
    (asked) => ({ ...asked, gasPrice: asked.gasPrice! + 1n }),
    (asked) => ({ ...asked, chainId: asked.chainId! + 1 }),
  ];
  for (const tamper of tampers) {
    const { url } = await startSigner(t, a, { tamper });
    await assert.rejects(actions.propose(openRemoteSigner(url, a.address), lines), refused, tamper.toString());
  }
  const other = await startSigner(t, createKey());
  await assert.rejects(actions.propose(openRemoteSigner(other.url, a.address), lines), refused);
  for (const answer of [
    () => undefined,
    () => "0x",
    () => "0x12",
    () => null,
    () => ({}),
    () => "0xzz",
    (raw: Hex) => raw.slice(0, -2),
  ]) {
    const { url } = await startSigner(t, a, { answer });
    await assert.rejects(actions.propose(openRemoteSigner(url, a.address), lines), refused, answer.toString());
  }
  assert.throws(() => openRemoteSigner(other.url, "0x12"), { code: "address-malformed" });
  for (const url of ["file:///tmp/x", "nonsense", "http://name:secret@127.0.0.1:1"])
    assert.throws(
      () => openRemoteSigner(url, a.address),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "signer-unreachable");
        assert.ok(!error.message.includes("secret"));
        return true;
      },
    );
  const nobody = openRemoteSigner("http://127.0.0.1:1", a.address);
  await assert.rejects(actions.propose(nobody, lines), { code: "signer-unreachable" });
});
