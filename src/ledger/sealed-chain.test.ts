import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hex } from "viem";
import { maxSealedHeaders, verifySealedChain } from "./sealed-chain.ts";
import { gethHeaders } from "./testing-clique.ts";
import { bftHeader, testSigner } from "./testing-sealed-headers.ts";

const refused = { code: "ledger-unverified" };

test("a chain of geth in a file is believed up to what its signers settled, and not when a header is missing", async () => {
  const { headers, rules: clique } = gethHeaders();
  const rlps = headers.map(({ rlp }) => rlp);
  // At block 60 there are three signers, of which two must have signed at or above.
  const proved = await verifySealedChain(rlps.slice(0, 29), { clique });
  assert.deepEqual(proved, headers.slice(0, 28));
  assert.equal((await verifySealedChain(rlps, { clique })).length, rlps.length, "one signer, in the end");
  assert.equal((await verifySealedChain(rlps.slice(0, 1), { clique })).length, 1);
  assert.deepEqual(await verifySealedChain([], { clique }), []);
  for (const others of [rlps.slice(1), rlps.toSpliced(5, 1), rlps.toReversed(), [...rlps, rlps[0]!], ["0xc0" as Hex]])
    await assert.rejects(verifySealedChain(others, { clique }), refused);
  const hash = headers[1]!.hash;
  await assert.rejects(verifySealedChain(rlps, { clique: { ...clique, checkpoint: { number: 32, hash } } }), refused);
});

test("each header in a file must be sealed by the configured validators", async () => {
  const signers = [1, 2, 3, 4].map(testSigner);
  const validators = { kind: "qbft" as const, addresses: signers.map(({ address }) => address) };
  const sealed = await Promise.all([5, 9].map((number) => bftHeader("qbft", signers, signers, { number })));
  const rlps = sealed.map(({ rlp }) => rlp);
  assert.deepEqual(await verifySealedChain(rlps, { validators }), sealed);
  const bare = await bftHeader("qbft", signers, signers.slice(2));
  await assert.rejects(verifySealedChain([...rlps, bare.rlp], { validators }), /2 of 4 validators sealed it, 3 must/);
  await assert.rejects(
    verifySealedChain(Array(maxSealedHeaders + 1).fill(rlps[0]!), { validators }),
    /more than 65536/,
  );
});
