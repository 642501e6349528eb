import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Address, bytesToHex, encodeFunctionData, keccak256, toBytes } from "viem";
import { parseBaseline } from "../baseline/format.ts";
import { approveBaseline } from "./approve.ts";
import { zeroHash } from "./contract/identity.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import { deployRegistry } from "./deploy.ts";
import { changePublishers } from "./governance.ts";
import { createKey, type LedgerKey } from "./keys/keys.ts";
import { openRegistry } from "./open-ledger.ts";
import { readProposal } from "./proposal.ts";
import { proposeBaseline } from "./propose.ts";
import { listBaselines, readBaseline, readProposedBaseline } from "./read-baseline.ts";
import { revokeBaseline } from "./revoke.ts";
import {
  ending,
  reverts,
  startTestLedger,
  type TestActions,
  type TestLedger,
  testActions,
  testIdentity,
  testLines,
  testParts,
} from "./testing.ts";

let ledger: TestLedger;
let actions: TestActions;
let a: LedgerKey;
let b: LedgerKey;
let c: LedgerKey;

const file = ending();
after(() => file.end());
before(async () => {
  ledger = await startTestLedger(file);
  actions = testActions(ledger.place);
  [a, b, c] = ledger.publishers;
});

test("what one publisher has signed is no baseline; with a second one it is", async () => {
  const lines = testLines("two", 5);
  assert.deepEqual((await actions.read("two")).status, "none");
  const { id, root, transactions, gas } = await actions.propose(a, lines);
  assert.deepEqual(root, parseBaseline(lines).root);
  assert.equal(transactions, 2);
  assert.ok(gas > 100_000n && gas < 1_000_000n, `${gas}`);
  const proposed = await actions.read("two");
  assert.ok(proposed.status === "proposed" && !("baseline" in proposed));
  const { proposal } = proposed;
  assert.deepEqual([proposal.id, proposal.root, proposal.approvals], [id, bytesToHex(root), 1]);

  const approved = await actions.approve(b, id);
  assert.deepEqual([approved.status, approved.approvals], ["approved", 2]);
  const now = await actions.read("two");
  assert.ok(now.status === "approved");
  assert.deepEqual(now.baseline, parseBaseline(lines));
  assert.deepEqual([now.proposal.id, now.baseline.root], [id, root]);
});

test("a proposer's second signature does not count, nor any after the decision", async () => {
  const { id } = await actions.propose(a, testLines("twice", 1));
  await assert.rejects(actions.approve(a, id), reverts("AlreadySigned"));
  assert.equal((await actions.read("twice")).status, "proposed");
  await actions.approve(b, id);
  await assert.rejects(actions.approve(c, id), reverts("NotOpen"));
});

test("three of three means three different publishers", async () => {
  const keys = (await ledger.newKeys(3)) as [LedgerKey, LedgerKey, LedgerKey];
  const { address } = await deployRegistry({
    ...ledger.place,
    deployerKey: ledger.deployer,
    publishers: keys.map((key) => key.address),
    quorum: 3,
  });
  const place = { ...ledger.place, registry: address };
  const lines = testLines("three", 1);
  const { id } = await proposeBaseline({ ...place, key: keys[0], lines });
  assert.equal((await approveBaseline({ ...place, key: keys[1], id })).status, "proposed");
  await assert.rejects(approveBaseline({ ...place, key: keys[1], id }), reverts("AlreadySigned"));
  await assert.rejects(approveBaseline({ ...place, key: keys[0], id }), reverts("AlreadySigned"));
  await assert.rejects(approveBaseline({ ...place, key: a, id }), reverts("AccessControlUnauthorizedAccount"));
  assert.equal((await readBaseline({ ...place, identity: testIdentity("three") })).status, "proposed");
  assert.equal((await approveBaseline({ ...place, key: keys[2], id })).status, "approved");
});

test("the deployer and strangers can do nothing, and nobody can change who publishes", async () => {
  const { id } = await actions.propose(a, testLines("stranger", 1));
  const role = keccak256(toBytes("PUBLISHER_ROLE"));
  for (const key of [ledger.deployer, createKey()]) {
    const refused = reverts("AccessControlUnauthorizedAccount");
    await assert.rejects(actions.propose(key, testLines("other", 1)), refused);
    await assert.rejects(actions.proposeOnly(key, testParts("other", [new Uint8Array(1)])), refused);
    await assert.rejects(actions.approve(key, id), refused);
    await assert.rejects(actions.deliver(key, id, 0, new Uint8Array(1), zeroHash), refused);
  }
  for (const key of [a, ledger.deployer]) {
    for (const functionName of ["grantRole", "revokeRole"] as const) {
      const data = encodeFunctionData({ abi, functionName, args: [role, key.address] });
      await assert.rejects(actions.send(key, data), reverts("AccessControlUnauthorizedAccount"));
    }
  }
  for (const key of [a, ledger.deployer]) {
    for (const account of [key.address, b.address]) {
      const data = encodeFunctionData({ abi, functionName: "renounceRole", args: [role, account] });
      await assert.rejects(actions.send(key, data), reverts("OnlyByQuorum"));
    }
  }
});

test("a registry with the deployer as publisher, a publisher twice, or a quorum of one is not deployed", async () => {
  const deploy = (publishers: readonly string[], quorum: number) =>
    deployRegistry({ ...ledger.place, deployerKey: ledger.deployer, publishers, quorum });
  const zero = `0x${"0".repeat(40)}` as Address;
  await assert.rejects(deploy([a.address, ledger.deployer.address], 2), reverts("BadPublisher"));
  await assert.rejects(deploy([a.address, a.address], 2), reverts("BadPublisher"));
  await assert.rejects(deploy([a.address, zero], 2), reverts("BadPublisher"));
  await assert.rejects(deploy([a.address, b.address], 1), reverts("BadQuorum"));
  await assert.rejects(deploy([a.address, b.address], 0), reverts("BadQuorum"));
  await assert.rejects(deploy([a.address, b.address], 3), reverts("BadQuorum"));
  await assert.rejects(deploy([], 2), reverts("BadQuorum"));
  await assert.rejects(
    deploy(
      Array.from({ length: 65 }, () => createKey().address),
      2,
    ),
    reverts("BadQuorum"),
  );
  await assert.rejects(deploy(["0x12"], 2), { code: "address-malformed" });
});

test("another proposal for the same image has another id and disturbs nothing until it is approved itself", async () => {
  const first = testLines("successor", 3, "first");
  const second = testLines("successor", 4, "second");
  const old = await actions.propose(a, first);
  await actions.approve(b, old.id);
  await assert.rejects(actions.propose(c, first), { code: "already-approved" });
  const next = await actions.propose(c, second);
  assert.notEqual(next.id, old.id);
  const between = await actions.read("successor");
  assert.ok(between.status === "approved" && between.proposal.id === old.id && between.proposal.approvals === 2);

  await actions.approve(a, next.id);
  const after = await actions.read("successor");
  assert.ok(after.status === "approved" && after.proposal.id === next.id);
  assert.deepEqual(after.baseline.lines, second);
  const registry = await openRegistry(ledger.place);
  assert.equal((await readProposal(registry, old.id))?.status, "superseded");
  assert.deepEqual(
    (await readProposedBaseline({ ...ledger.place, id: old.id })).baseline.lines,
    first,
    "still readable",
  );

  const back = await actions.propose(a, first);
  assert.notEqual(back.id, old.id, "going back is a decision of its own, with signatures of its own");
  assert.equal((await actions.approve(c, back.id)).status, "approved");
});

test("when one of two open proposals is approved, a late signature cannot bring the other one back", async () => {
  const one = await actions.propose(a, testLines("race", 1, "one"));
  const two = await actions.propose(b, testLines("race", 1, "two"));
  await actions.approve(c, two.id);
  const registry = await openRegistry(ledger.place);
  assert.equal((await readProposal(registry, one.id))?.status, "outdated");
  await assert.rejects(actions.approve(b, one.id), reverts("NotOpen"));
  const now = await actions.read("race");
  assert.ok(now.status === "approved" && now.proposal.id === two.id);
});

test("an approver who expects another baseline does not sign, and one who only calls it otherwise does", async () => {
  const { id } = await actions.propose(a, testLines("expected", 1));
  const place = { ...ledger.place, key: b, id };
  const other = parseBaseline(testLines("expected", 1, "another file"));
  await assert.rejects(approveBaseline({ ...place, expected: { baseline: other, from: "mine.baseline" } }), {
    code: "baseline-differs",
    message: /^the proposed baseline is not the one in mine\.baseline: /,
  });
  const [header, ...entries] = testLines("expected", 1);
  const renamed = parseBaseline([header!.replace(/"name":"[^"]*"/, '"name":"as I call it"'), ...entries]);
  assert.equal(
    (await approveBaseline({ ...place, expected: { baseline: renamed, from: "mine.baseline" } })).status,
    "approved",
  );
});

test("the list has every image once, with what stands for it", async () => {
  const { address } = await deployRegistry({
    ...ledger.place,
    deployerKey: ledger.deployer,
    publishers: [a.address, b.address],
    quorum: 2,
  });
  const place = { ...ledger.place, registry: address };
  assert.deepEqual((await listBaselines(place)).baselines, []);
  const one = await proposeBaseline({ ...place, key: a, lines: testLines("list one", 1) });
  await approveBaseline({ ...place, key: b, id: one.id });
  const next = await proposeBaseline({ ...place, key: a, lines: testLines("list one", 2) });
  const two = await proposeBaseline({ ...place, key: b, lines: testLines("list two", 3) });
  const hex = (root: Uint8Array) => bytesToHex(root);
  const proposed = { id: next.id, root: hex(next.root), lines: 3 };
  const approved = { identity: testIdentity("list one"), status: "approved", until: 0 };
  const first = { ...approved, id: one.id, root: hex(one.root), lines: 2, proposed };
  const second = {
    ...{ identity: testIdentity("list two"), status: "proposed", id: two.id, root: hex(two.root), lines: 4, until: 0 },
    proposed: null,
  };
  assert.deepEqual((await listBaselines(place)).baselines, [first, second]);
  await revokeBaseline({ ...place, key: b, id: one.id });
  assert.deepEqual((await listBaselines(place)).baselines, [{ ...first, status: "revoked" }, second]);
  await approveBaseline({ ...place, key: b, id: next.id });
  assert.deepEqual((await listBaselines(place)).baselines, [{ ...approved, ...proposed, proposed: null }, second]);
  // What other publishers' epoch has outdated is not shown as open.
  const late = await proposeBaseline({ ...place, key: a, lines: testLines("list one", 4) });
  assert.equal((await listBaselines(place)).baselines[0]!.proposed?.id, late.id);
  const change = { publishers: [a.address, b.address], quorum: 2 };
  for (const key of [a, b]) await changePublishers({ ...place, key, ...change });
  assert.equal((await listBaselines(place)).baselines[0]!.proposed, null);
});
