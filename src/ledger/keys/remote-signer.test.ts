import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Hex } from "viem";
import { startSigner } from "../header/testing-signer.ts";
import { ending, startTestLedger, type TestLedger, testActions, testLines } from "../testing.ts";
import { createKey, type Transaction } from "./keys.ts";
import { openRemoteSigner } from "./remote-signer.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

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
