// Endpoints that lie: nodes of one chain whose state was rewritten, and servers between that change what is said.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Hex, numberToHex } from "viem";
import { BaselineCache } from "./baseline-cache.ts";
import { ledgerSchema } from "./config.ts";
import { identityToHash } from "./contract/identity.ts";
import { currentSlot, proposalSlot } from "./contract/registry-storage.ts";
import { heightFile, heightsInMemory } from "./header/ledger-height.ts";
import { openRpc } from "./rpc/rpc.ts";
import { callData, latestBlock } from "./rpc/rpc-values.ts";
import { ending, temporaryFolder, testIdentity, testLines } from "./testing.ts";
import { type ChainNode, lieAbout, startNode } from "./testing-endpoints.ts";
import { endingOf, openReader, type Settings, startTruth, truth } from "./testing-proved-ledger.ts";

const file = ending();
after(() => file.end());
let truthful: Awaited<ReturnType<typeof startTruth>>;
/** Two honest nodes. */
let honest: [string, string];
before(async () => {
  truthful = await startTruth(file);
  honest = truthful.honest;
});

const open = (urls: readonly string[], settings: Settings = {}) =>
  openReader(truthful.ledger.place.registry, urls, settings);

const word = (digits: string): Hex => `0x${digits.padStart(64, "0")}`;

/** What a thief would like to be so: the revoked baseline approved, and that which only one has signed. */
async function rewrite({ url, cheat }: ChainNode): Promise<void> {
  const set = (slot: Hex, value: Hex) => cheat("anvil_setStorageAt", [truthful.ledger.place.registry, slot, value]);
  await set(proposalSlot(truthful.ids.get("gone")!, "standing"), word("1"));
  await set(proposalSlot(truthful.ids.get("proposed")!, "standing"), word("1"));
  await set(currentSlot(identityToHash(testIdentity("proposed"))), truthful.ids.get("proposed")!);
  const blocks = proposalSlot(truthful.ids.get("proposed")!, "blocks");
  const signed = await callData(openRpc(url), "eth_getStorageAt", [truthful.ledger.place.registry, blocks, "latest"]);
  assert.equal(signed.slice(0, 10), "0x00000001");
  await set(blocks, `0x00000002${signed.slice(10)}`);
}

const node = (t: TestContext, options = {}): Promise<ChainNode> =>
  startNode(endingOf(t), truthful.ledger.folder, options);

/** A node whose last block is another one, of the rewritten state. */
async function forked(t: TestContext, mark = 1): Promise<string> {
  const liar = await node(t);
  await liar.cheat("anvil_rollback", [1]);
  await rewrite(liar);
  await liar.cheat("anvil_setBalance", [truthful.ledger.deployer.address, `0x${mark}`]);
  await liar.cheat("evm_mine", []);
  return liar.url;
}

test("endpoints that agree: what stands on the ledger is proved, and the entries lead to it", async (t) => {
  const third = await node(t);
  const { all, said, linesOf, reader } = open([...honest, third.url]);
  assert.deepEqual(await all(), truth);
  const standing = await reader.standingOf(testIdentity("web"));
  assert.ok(standing.status === "approved");
  assert.equal(standing.proposal.id, truthful.ids.get("web"));
  assert.equal(standing.proposal.approvals, 2);
  assert.deepEqual(await linesOf("web"), testLines("web", 20));
  assert.deepEqual(said, []);
  assert.deepEqual(await open([honest[0]]).all(), truth, "one endpoint");
});

test("one of three nodes has its state rewritten: it changes nothing", async (t) => {
  const liar = await node(t);
  await rewrite(liar);
  assert.deepEqual(await open([liar.url, ...honest]).all(), truth, "rewritten in the newest block");
  await liar.cheat("evm_mine", []);
  assert.deepEqual(await open([liar.url, ...honest]).all(), truth, "in a block more");
  // What a single endpoint does not protect against: a chain of its own.
  assert.deepEqual(await open([liar.url]).all(), { ...truth, gone: "approved", proposed: "approved" });
});

test("proofs are asked for at the agreed block by its hash, which is no other branch's of the same height", async (t) => {
  const asked: unknown[] = [];
  const url = await lieAbout(endingOf(t), honest[0], (method, result, params) => {
    if (method === "eth_getProof") asked.push(params[2]);
    return result;
  });
  assert.equal(await open([url]).statusOf("web"), "approved");
  const { hash } = await latestBlock(openRpc(honest[0]));
  assert.ok(asked.length >= 2);
  for (const block of asked) assert.deepEqual(block, { blockHash: hash });
});

test("a state that was rewritten below a block is not what the block's header says", async (t) => {
  const liar = await node(t);
  await rewrite(liar);
  const url = await lieAbout(endingOf(t), liar.url, (method, result, params) =>
    // Whatever the node's own way is to answer for a block: its rewritten state.
    method === "eth_getProof" ? liar.cheat(method, [...params.slice(0, 2), "pending"]) : result,
  );
  await assert.rejects(open([url]).statusOf("gone"), {
    code: "ledger-unverified",
    message: /does not lead to its root/,
  });
  const { all, said } = open([url, ...honest]);
  assert.deepEqual(await all(), truth);
  assert.match(said.join("\n"), new RegExp(`endpoint ${url} is left out: .*does not lead`));
});

test("a fork at the same height is named; where too few agree nothing is believed", async (t) => {
  const [one, two] = [await forked(t), await forked(t, 2)];
  const { all, said } = open([one, ...honest]);
  assert.deepEqual(await all(), truth);
  assert.match(said.join("\n"), new RegExp(`endpoint ${one} is left out: .*has another block`));
  assert.equal(said.length, 1);
  const split = open([one, two, honest[0]]);
  await assert.rejects(split.statusOf("web"), {
    code: "ledger-unverified",
    message: /no 2 of the ledger's 3 endpoints/,
  });
  const pair = open([one, honest[0]]);
  await assert.rejects(
    pair.statusOf("web"),
    ({ message }: Error) => message.includes(one) && message.includes(honest[0]),
  );
  const gone = open(["http://127.0.0.1:1", "http://127.0.0.1:2", honest[0]]);
  await assert.rejects(gone.statusOf("web"), { code: "ledger-unverified" });
  const silent = open(["http://127.0.0.1:1", "http://127.0.0.1:2"]);
  await assert.rejects(silent.statusOf("web"), { code: "ledger-unreachable" });
});

test("who was left out is asked again after a while, and told of once", async (t) => {
  const state = { lies: true };
  const url = await lieAbout(endingOf(t), honest[0], (method, result) =>
    state.lies && method === "eth_getBlockByNumber" ? null : result,
  );
  const { all, said, clock } = open([url, ...honest]);
  await all();
  assert.equal(said.length, 1);
  clock.ms += 31_000;
  await all();
  assert.equal(said.length, 1, "the same again is no news");
  state.lies = false;
  clock.ms += 31_000;
  await all();
  state.lies = true;
  clock.ms += 31_000;
  await all();
  assert.equal(said.length, 2);
});

test("a lagging endpoint is left out; where all are behind what was seen before, nothing is believed", async (t) => {
  const [late, later] = [await node(t, { without: 1 }), await node(t, { without: 9 })];
  const among = open([late.url, later.url, ...honest], { agree: 3 });
  assert.equal(await among.statusOf("gone"), "approved", "the block that three of four have");
  const { all, said } = open([later.url, ...honest]);
  assert.deepEqual(await all(), truth);
  assert.match(said.join("\n"), new RegExp(`endpoint ${later.url} is left out: .*is behind`));

  const path = join(await temporaryFolder(endingOf(t)), "height");
  const { statusOf } = open(honest, { heights: heightFile(path) });
  assert.equal(await statusOf("gone"), "revoked");
  const { number } = await latestBlock(openRpc(honest[0]));
  assert.match(await readFile(path, "utf8"), new RegExp(`"number":"${number}"`));
  const restarted = open([late.url], { heights: heightFile(path) });
  await assert.rejects(restarted.statusOf("gone"), { code: "ledger-unverified", message: /is back at block/ });
  const other = open([await forked(t)], { heights: heightFile(path) });
  await assert.rejects(other.statusOf("gone"), { code: "ledger-unverified", message: /another block \d+ than before/ });
  assert.equal(await open(honest, { heights: heightFile(path) }).statusOf("gone"), "revoked");
  await writeFile(path, "{}");
  await assert.rejects(open(honest, { heights: heightFile(path) }).statusOf("gone"), { code: "ledger-unverified" });
  const full = open(honest, { heights: { read: () => null, write: () => Promise.reject(new Error("no space")) } });
  await assert.rejects(full.statusOf("gone"), { code: "ledger-unverified", message: /cannot be kept \(no space\)/ });
});

test("of two readers with one memory none goes back behind the other", async (t) => {
  const late = await node(t, { without: 9 });
  const heights = heightsInMemory();
  const behind = open([late.url], { heights });
  await behind.statusOf("web");
  const ahead = open(honest, { heights });
  assert.equal(await ahead.statusOf("gone"), "revoked");
  await late.cheat("evm_mine", []);
  behind.clock.ms += 2000;
  await assert.rejects(behind.statusOf("web"), { code: "ledger-unverified", message: /is back at block/ });
  ahead.clock.ms += 2000;
  assert.equal(await open(honest, { heights }).statusOf("gone"), "revoked");
  await assert.rejects(open([late.url], { heights }).statusOf("web"), /is back at block/);
});

test("whoever asks for a newer block shares one question that was begun after", async (t) => {
  const asked: PromiseWithResolvers<void>[] = [];
  const first = Promise.withResolvers<void>();
  let [running, most] = [0, 0];
  const url = await lieAbout(endingOf(t), honest[0], async (method, result) => {
    if (method !== "eth_getBlockByNumber") return result;
    most = Math.max(most, ++running);
    const answer = Promise.withResolvers<void>();
    asked.push(answer);
    first.resolve();
    await answer.promise;
    running--;
    return result;
  });
  const { reader } = open([url]);
  const of = (newer: boolean) => reader.contract("BaselineRegistry", undefined, { newer });
  const plain = of(false);
  await first.promise;
  const newer = [of(true), of(true), of(true)];
  const same = of(false);
  const all = Promise.all([plain, same, ...newer]);
  let isOver = false;
  const answering = (async () => {
    for (; !isOver; await sleep(5)) for (const answer of asked) answer.resolve();
  })();
  const contracts = await all.finally(() => {
    isOver = true;
  });
  await answering;
  assert.deepEqual([asked.length, most], [2, 1]);
  const blocks = contracts.map(({ block }) => block);
  assert.equal(blocks[1], blocks[0]);
  assert.notEqual(blocks[2], blocks[0]);
  assert.ok(blocks.slice(3).every((block) => block === blocks[2]));
});

test("an old block proves nothing new, and a deep one is settled", async (t) => {
  const { number, timestamp } = await latestBlock(openRpc(honest[0]));
  const atMs = Number(timestamp) * 1000;
  assert.equal(await open(honest, { maxAgeMs: 60_000, nowMs: atMs + 60_000 }).statusOf("gone"), "revoked");
  const old = open(honest, { maxAgeMs: 60_000, nowMs: atMs + 60_001 });
  await assert.rejects(old.statusOf("gone"), { code: "ledger-unverified", message: /older than/ });
  assert.equal(await open(honest, { depth: 1 }).statusOf("gone"), "approved", "the revocation is in the last block");
  await assert.rejects(open(honest, { depth: 1000 }).statusOf("gone"), { code: "ledger-unverified" });
  const final = await Promise.all(
    honest.map((url) =>
      lieAbout(endingOf(t), url, async (method, result, [block]) => {
        if (method !== "eth_getBlockByNumber" || block !== "finalized") return result;
        return openRpc(url).call(method, [numberToHex(number - 1n), false]);
      }),
    ),
  );
  assert.equal(await open(final, { depth: "finalized" }).statusOf("gone"), "approved");
  const elsewhere = open(honest, { registry: `0x${"11".repeat(20)}` });
  await assert.rejects(elsewhere.statusOf("gone"), { code: "ledger-no-registry" });
  assert.deepEqual(elsewhere.said, [], "no endpoint's fault");
  const person = open(honest, { registry: truthful.ledger.deployer.address });
  await assert.rejects(person.statusOf("gone"), { code: "ledger-no-registry" });
});

test("a cache among liars: right while a minority lies, held for a while and then unverified when most do", async (t) => {
  const state = { lies: 1 };
  const ends = endingOf(t);
  const urls = await Promise.all(
    [1, 2, 3].map((number) =>
      lieAbout(ends, honest[0], (method, result) =>
        number <= state.lies && (method === "eth_getProof" || (state.lies === 3 && method === "eth_getBlockByNumber"))
          ? null
          : result,
      ),
    ),
  );
  const clock = { ms: 0, now: () => Date.now(), monotonicMs: () => clock.ms };
  const [url, ...witnesses] = urls as [string, ...string[]];
  const cache = new BaselineCache({ url, witnesses, registry: truthful.ledger.place.registry }, undefined, clock);
  const look = async () => (await cache.lookUp(testIdentity("web"))).status;
  assert.equal(await look(), "approved");
  state.lies = 3;
  clock.ms += 599_000;
  assert.equal(await look(), "approved");
  clock.ms += 2000;
  assert.equal(await look(), "unverified");
  state.lies = 2;
  clock.ms += 3000;
  assert.equal(await look(), "approved");
});

test("a configuration names each endpoint once, and a majority of them", () => {
  const url = "http://127.0.0.1:1";
  const registry = `0x${"11".repeat(20)}`;
  const isGood = (more: object) => ledgerSchema.safeParse({ url, registry, ...more }).success;
  const witnesses = ["http://127.0.0.1:2", "http://127.0.0.1:3"];
  assert.ok(isGood({}) && isGood({ witnesses, agree: 2 }) && isGood({ witnesses, agree: 3, depth: "finalized" }));
  for (const bad of [
    { agree: 2 },
    { witnesses, agree: 1 },
    { witnesses, agree: 4 },
    { witnesses: [url] },
    { depth: -1 },
  ])
    assert.ok(!isGood(bad), JSON.stringify(bad));
});
