import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { encodeFunctionData, type Hex } from "viem";
import { approveBaseline, type Review } from "./approve.ts";
import { BaselineCache, type BaselineState } from "./baseline-cache.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import { createKey, type LedgerKey } from "./keys/keys.ts";
import { openRegistry } from "./open-ledger.ts";
import { readProposal } from "./proposal.ts";
import { listBaselines, readBaseline } from "./read-baseline.ts";
import { maxOverlapSeconds, revokeBaseline, supersedeBaseline } from "./revoke.ts";
import { openRpc } from "./rpc/rpc.ts";
import {
  ending,
  reverts,
  startTestLedger,
  type TestActions,
  type TestLedger,
  testActions,
  testIdentity,
  testLines,
} from "./testing.ts";
import { serve } from "./testing-endpoints.ts";

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

async function approved(name: string, variant = ""): Promise<Hex> {
  const { id } = await actions.propose(a, testLines(name, 2, variant));
  await actions.approve(b, id);
  return id;
}

const statusOf = async (id: Hex) => (await readProposal(await openRegistry(ledger.place), id))?.status;
const listed = async (name: string, nowMs = Date.now()) =>
  (await listBaselines({ ...ledger.place, nowMs })).baselines.find(({ identity }) => identity === testIdentity(name))
    ?.status;

test("one publisher revokes, for good; the same lines come back only with new signatures", async () => {
  const id = await approved("revoked");
  for (const key of [ledger.deployer, createKey()])
    await assert.rejects(revokeBaseline({ ...ledger.place, key, id }), reverts("AccessControlUnauthorizedAccount"));
  const { identity } = await revokeBaseline({ ...ledger.place, key: c, id });
  assert.equal(identity, testIdentity("revoked"));
  assert.deepEqual((await actions.read("revoked")).status, "revoked");
  assert.equal(await listed("revoked"), "revoked");
  const twice = { ...reverts("NotApproved"), message: `proposal ${id} is revoked already, for good` };
  await assert.rejects(revokeBaseline({ ...ledger.place, key: a, id }), twice);
  for (const key of [a, b, c]) await assert.rejects(actions.approve(key, id), reverts("NotOpen"));

  const again = await actions.propose(a, testLines("revoked", 2));
  assert.notEqual(again.id, id);
  assert.equal((await actions.read("revoked")).status, "revoked", "one signature brings nothing back");
  assert.equal((await actions.approve(c, again.id)).status, "approved");
  assert.equal((await actions.read("revoked")).status, "approved");
  assert.equal(await statusOf(id), "revoked");
});

test("what waits for signatures cannot be revoked, what was replaced can, and no older one takes its place", async () => {
  const open = await actions.propose(a, testLines("replaced", 1, "open"));
  await assert.rejects(revokeBaseline({ ...ledger.place, key: a, id: open.id }), reverts("NotApproved"));
  const first = await approved("replaced", "first");
  await assert.rejects(revokeBaseline({ ...ledger.place, key: a, id: open.id }), reverts("NotApproved"));
  const second = await approved("replaced", "second");
  await revokeBaseline({ ...ledger.place, key: a, id: first });
  assert.equal((await actions.read("replaced")).status, "approved");
  await revokeBaseline({ ...ledger.place, key: a, id: second });
  assert.equal((await actions.read("replaced")).status, "revoked");
});

test("an image that is superseded counts until its overlap ends, which can only come sooner", async () => {
  const [one, two, three] = [await approved("v1"), await approved("v2"), await approved("v3")];
  const supersede = (id: Hex, by: Hex, overlapSeconds: number, key = c) =>
    supersedeBaseline({ ...ledger.place, key, id, by, overlapSeconds });
  const before = BigInt(Math.floor(Date.now() / 1000));
  const until = (await supersede(one, two, 3600)).until!;
  assert.ok(until >= before + 3600n && until < before + 3600n + 300n, `${until - before}`);
  const now = await actions.read("v1");
  assert.ok(now.status === "approved" && now.proposal.until === until);
  await assert.rejects(supersede(one, two, 7200), reverts("BadOverlap"));
  await assert.rejects(supersede(two, one, 60), reverts("NotApproved"), "not by what ends itself");
  await assert.rejects(supersede(two, two, 60), { ...reverts("NotApproved"), message: /cannot take the place/ });
  const { id: open } = await actions.propose(a, testLines("v4", 1));
  await assert.rejects(supersede(two, open, 60), reverts("NotApproved"), "not by what is not approved");
  await assert.rejects(supersede(open, three, 60), { ...reverts("NotApproved"), message: /is not approved yet/ });
  await assert.rejects(supersede(two, three, 60, createKey()), reverts("AccessControlUnauthorizedAccount"));
  await assert.rejects(supersede(two, three, maxOverlapSeconds + 1), { code: "overlap-malformed" });
  for (const overlap of [BigInt(maxOverlapSeconds) + 1n, 2n ** 64n - 1n]) {
    const data = encodeFunctionData({ abi, functionName: "supersede", args: [two, three, overlap] });
    await assert.rejects(actions.send(a, data), reverts("BadOverlap"));
  }

  const clock = { ms: 0, monotonicMs: () => 0, now: () => clock.ms };
  const cache = new BaselineCache(ledger.place, undefined, clock);
  const look = async (ms: bigint): Promise<BaselineState["status"]> => {
    clock.ms = Number(ms);
    return (await cache.lookUp(testIdentity("v1"))).status;
  };
  assert.equal(await look(until * 1000n - 1n), "approved");
  assert.equal(await look(until * 1000n), "revoked", "also when the chain's word is fresh");

  const nowMs = Number((await supersede(one, three, 0)).until) * 1000;
  assert.equal((await readBaseline({ ...ledger.place, identity: testIdentity("v1"), nowMs })).status, "superseded");
  assert.equal(await listed("v1", nowMs), "superseded");
  assert.equal((await actions.read("v2")).status, "approved");
  const back = await actions.propose(a, testLines("v1", 2));
  await actions.approve(b, back.id);
  assert.equal((await actions.read("v1")).status, "approved", "going back is a decision with signatures of its own");
});

test("an overlap that was read ends also while the chain is silent", async () => {
  const [one, two] = [await approved("silent"), await approved("next")];
  const superseded = await supersedeBaseline({ ...ledger.place, key: a, id: one, by: two, overlapSeconds: 1000 });
  const until = superseded.until!;
  const clock = { ms: Number(until) * 1000 - 1, mono: 0, monotonicMs: () => clock.mono, now: () => clock.ms };
  const state = { isSilent: false };
  const url = await serve(file, async (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    if (state.isSilent) response.destroy();
    else
      response.end(
        JSON.stringify({ jsonrpc: "2.0", id, ...(await openRpc(ledger.chain.url).request(method, params)) }),
      );
  });
  const cache = new BaselineCache({ ...ledger.place, url }, undefined, clock);
  assert.equal((await cache.lookUp(testIdentity("silent"))).status, "approved");
  state.isSilent = true;
  clock.mono = 5000;
  assert.equal((await cache.lookUp(testIdentity("silent"))).status, "approved");
  clock.ms += 1;
  assert.equal((await cache.lookUp(testIdentity("silent"))).status, "revoked");
});

test("an approver is shown what differs from what is approved now, and can still leave it", async () => {
  await approved("shown", "first");
  const { id } = await actions.propose(a, testLines("shown", 3, "second"));
  const reviews: Review[] = [];
  const refuse = (review: Review): void => {
    reviews.push(review);
    throw new Error("not what I meant");
  };
  await assert.rejects(approveBaseline({ ...ledger.place, key: b, id, review: refuse }), /not what I meant/);
  assert.equal(await statusOf(id), "proposed");
  const sentences = reviews[0]!.differences.join("\n");
  assert.match(sentences, /a file more: \/usr\/lib\/lib000002\.so/);
  assert.match(sentences, /2 files with other content: \/usr\/lib\/lib000000\.so and 1 more/);
  await approveBaseline({ ...ledger.place, key: b, id, review: (review) => void reviews.push(review) });
  const first = await actions.propose(a, testLines("shown first", 1));
  await approveBaseline({ ...ledger.place, key: b, id: first.id, review: (review) => void reviews.push(review) });
  assert.deepEqual([reviews[2]!.approved, reviews[2]!.differences], [null, []]);
});
