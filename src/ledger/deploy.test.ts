import assert from "node:assert/strict";
import { test } from "node:test";
import { numberToHex } from "viem";
import { describeError } from "../core/errors.ts";
import { deployContract, deployRegistry } from "./deploy.ts";
import { openRpc } from "./rpc/rpc.ts";
import { callQuantity } from "./rpc/rpc-values.ts";
import { startTestLedger } from "./testing.ts";
import { lieAbout } from "./testing-endpoints.ts";

test("nothing is deployed while fewer endpoints answer than must have a block", async (t) => {
  const { chain, deployer, publishers, depth } = await startTestLedger(t);
  const sent = () => callQuantity(openRpc(chain.url), "eth_getTransactionCount", [deployer.address, "latest"]);
  const before = await sent();
  const foreign = await lieAbout(t, chain.url, (method, result) => (method === "eth_chainId" ? "0x1" : result));
  const same = await lieAbout(t, chain.url, (_, result) => result);
  const dead = "http://127.0.0.1:1";
  const deploy = (witnesses: string[], agree?: number) =>
    deployRegistry({
      ...{ url: chain.url, witnesses, depth, deployerKey: deployer, quorum: 2 },
      ...(agree === undefined ? {} : { agree }),
      publishers: publishers.map(({ address }) => address),
    });
  for (const [witnesses, agree, message] of [
    [[dead], undefined, /nothing was sent: 1 of the ledger's 2 endpoints answer for its chain, 2 must: .*:1 does not/],
    [[foreign], undefined, /nothing was sent: 1 of .* 2 must: the chain at .* has number 1, not/],
    [[same, dead], 3, /nothing was sent: 2 of the ledger's 3 .* 3 must/],
  ] as const)
    await assert.rejects(deploy([...witnesses], agree), { code: "ledger-unreachable", message });
  assert.equal(await sent(), before);
  const { at } = await deploy([same, dead]);
  assert.deepEqual([at?.agreed, at?.endpoints], [2, 3]);
});

test("what was deployed and is not proved to be there is told with its address", async (t) => {
  const { chain, deployer } = await startTestLedger(t);
  const now = numberToHex(await callQuantity(openRpc(chain.url), "eth_blockNumber", []));
  const stays = (method: string, params: unknown[]) =>
    method === "eth_getBlockByNumber" && params[0] === "latest" ? [now, params[1]] : params;
  const behind = await lieAbout(t, chain.url, (_, result) => result, stays);
  const place = { url: chain.url, witnesses: [behind], deployerKey: deployer, shownWithinMs: 500 };
  const { address, at } = await deployContract("HostRegistry", place);
  assert.equal(at, null);
  const code = await openRpc(chain.url).call("eth_getCode", [address, "latest"]);
  assert.ok(typeof code === "string" && code.length > 100, "it is there");
});

test("a deployment that no block holds after a minute is told with the address that it gets", async (t) => {
  const { chain, deployer } = await startTestLedger(t);
  const now = performance.now.bind(performance);
  const skew = { ms: 0 };
  t.mock.method(performance, "now", () => now() + skew.ms);
  const url = await lieAbout(t, chain.url, (method, result) => {
    if (method !== "eth_getTransactionReceipt") return result;
    skew.ms += 61_000;
    return null;
  });
  let said = "";
  await assert.rejects(deployContract("Checkpoints", { url, deployerKey: deployer }), (error) => {
    said = describeError(error);
    return (error as { code?: string }).code === "ledger-unreachable";
  });
  const [, address] = /deploying again would make another contract: .* at (0x[0-9a-fA-F]{40})$/.exec(said) ?? [];
  const code = await openRpc(chain.url).call("eth_getCode", [address, "latest"]);
  assert.ok(typeof code === "string" && code.length > 100, said);
});
