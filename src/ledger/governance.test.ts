import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { encodeFunctionData, keccak256, toBytes } from "viem";
import { approveBaseline } from "./approve.ts";
import { inRisingOrder } from "./contract/address.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import { deployContract, deployRegistry } from "./deploy.ts";
import { changePublishers, retireRegistry } from "./governance.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openRegistry } from "./open-ledger.ts";
import { readGovernance } from "./registry-reads.ts";
import { revokeBaseline } from "./revoke.ts";
import { reverts, startTestLedger, testActions, testLines } from "./testing.ts";

async function start(t: TestContext) {
  const ledger = await startTestLedger({ after: (undo) => t.after(undo) });
  const change = (key: LedgerKey, publishers: readonly LedgerKey[], quorum: number) =>
    changePublishers({ ...ledger.place, key, publishers: publishers.map(({ address }) => address), quorum });
  return { ...ledger, actions: testActions(ledger.place), change };
}

test("publishers change by their own quorum only, and what was signed before counts no more", async (t) => {
  const { place, deployer, publishers, newKeys, actions, change } = await start(t);
  const [a, b, c] = publishers;
  const d = (await newKeys(1))[0]!;
  const open = await actions.propose(c, testLines("open", 1));
  const kept = await actions.propose(a, testLines("kept", 1));
  await actions.approve(b, kept.id);

  assert.deepEqual(await change(a, [d, b, a], 2).then(({ signatures, quorum }) => [signatures, quorum]), [1, 2]);
  await assert.rejects(change(a, [a, b, d], 2), reverts("AlreadySigned"), "the order of a set says nothing");
  for (const key of [d, deployer])
    await assert.rejects(change(key, [a, b, d], 2), reverts("AccessControlUnauthorizedAccount"));
  await change(b, [a, b, d], 3); // another quorum is another motion
  await change(b, [b, c, d], 2); // and so is another set of as many
  const before = await readGovernance(await openRegistry(place));
  assert.deepEqual(
    [before.epoch, before.quorum, before.publishers],
    [0, 2, inRisingOrder([a.address, b.address, c.address])],
  );
  assert.equal((await change(c, [a, b, d], 2)).signatures, 2);
  const now = await readGovernance(await openRegistry(place));
  assert.deepEqual([now.epoch, now.quorum, now.publishers], [1, 2, inRisingOrder([a.address, b.address, d.address])]);

  await assert.rejects(actions.approve(b, open.id), reverts("NotOpen"));
  await assert.rejects(actions.approve(a, open.id), reverts("NotOpen"), "its first signer is no publisher any more");
  await assert.rejects(actions.propose(c, testLines("other", 1)), reverts("AccessControlUnauthorizedAccount"));
  await assert.rejects(revokeBaseline({ ...place, key: c, id: kept.id }), reverts("AccessControlUnauthorizedAccount"));
  assert.equal((await actions.read("kept")).status, "approved");
  const anew = await actions.propose(d, testLines("open", 1));
  assert.notEqual(anew.id, open.id);
  assert.equal((await actions.approve(a, anew.id)).status, "approved");
  await change(a, [a, b, d], 3); // the signature that b gave for this in epoch 0 has lapsed
  assert.equal((await readGovernance(await openRegistry(place))).epoch, 1);
});

test("no motion leaves less than two of at least two, a stranger twice, or nobody", async (t) => {
  const { publishers, change, place } = await start(t);
  const [a, b] = publishers;
  for (const [set, quorum] of [
    [[a, b], 1],
    [[a, b], 3],
    [[a], 2],
    [[], 0],
  ] as const)
    await assert.rejects(change(a, set, quorum), reverts("BadQuorum"));
  await assert.rejects(change(a, [a, b, b], 2), reverts("BadPublisher"));
  const zero = `0x${"0".repeat(40)}`;
  await assert.rejects(
    changePublishers({ ...place, key: a, publishers: [a.address, zero], quorum: 2 }),
    reverts("BadPublisher"),
  );
  const role = keccak256(toBytes("PUBLISHER_ROLE"));
  const actions = testActions(place);
  for (const functionName of ["grantRole", "revokeRole"] as const)
    await assert.rejects(
      actions.send(a, encodeFunctionData({ abi, functionName, args: [role, b.address] })),
      reverts("AccessControlUnauthorizedAccount"),
    );
});

test("a registry gives way to a successor by quorum, once; then nothing is approved in it, and revoked it can be", async (t) => {
  const { place, deployer, publishers, actions } = await start(t);
  const [a, b, c] = publishers;
  const kept = await actions.propose(a, testLines("kept", 1));
  await actions.approve(b, kept.id);
  const open = await actions.propose(a, testLines("open", 1));
  const next = await deployRegistry({
    ...place,
    deployerKey: deployer,
    publishers: [a, b].map((key) => key.address),
    quorum: 2,
  });
  const retire = (key: LedgerKey, successor: string) => retireRegistry({ ...place, key, successor });
  await assert.rejects(retire(a, place.registry), reverts("BadSuccessor"));
  await assert.rejects(retire(a, b.address), reverts("BadSuccessor"));
  await assert.rejects(retire(deployer, next.address), reverts("AccessControlUnauthorizedAccount"));
  await retire(a, next.address);
  await assert.rejects(retire(a, next.address), reverts("AlreadySigned"));
  const { address: other } = await deployContract("Checkpoints", { ...place, deployerKey: deployer });
  await retire(b, other); // another successor is another motion
  assert.equal((await readGovernance(await openRegistry(place))).successor, null);
  assert.equal((await approveBaseline({ ...place, key: c, id: open.id })).status, "approved", "it is not retired yet");
  const late = await actions.propose(a, testLines("late", 1));
  await retire(c, next.address);
  assert.equal((await readGovernance(await openRegistry(place))).successor, next.address);
  await assert.rejects(actions.propose(a, testLines("more", 1)), reverts("IsRetired"));
  await assert.rejects(actions.approve(b, late.id), reverts("NotOpen"));
  await assert.rejects(retire(a, next.address), reverts("IsRetired"));
  assert.equal((await actions.read("kept")).status, "approved");
  await revokeBaseline({ ...place, key: b, id: kept.id });
  assert.equal((await actions.read("kept")).status, "revoked");
});
