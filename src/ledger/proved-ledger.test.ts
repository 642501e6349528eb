// Endpoints that lie: nodes of one chain whose state was rewritten, and servers between that change what is said.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Hex, numberToHex } from "viem";
import { errorCode } from "../core/errors.ts";
import { BaselineCache } from "./baseline-cache.ts";
import type { LedgerConfig } from "./config.ts";
import { identityToHash } from "./identity.ts";
import { type HeightStore, heightFile, heightsInMemory } from "./ledger-height.ts";
import { ProvedLedger } from "./proved-ledger.ts";
import { currentSlot, proposalSlot } from "./registry-storage.ts";
import { revokeBaseline } from "./revoke.ts";
import { openRpc } from "./rpc.ts";
import { latestBlock } from "./rpc-values.ts";
import {
  ending,
  startTestLedger,
  type TestLedger,
  temporaryFolder,
  testActions,
  testIdentity,
  testLines,
} from "./testing.ts";
import { type ChainNode, type Lie, lieAbout, pour, serve, startNode } from "./testing-endpoints.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
/** Two honest nodes, and their chain. */
let honest: [string, string];
const ids = new Map<string, Hex>();

before(async () => {
  ledger = await startTestLedger(file);
  const actions = testActions(ledger.place);
  const [a, b] = ledger.publishers;
  for (const name of ["web", "proposed", "gone"]) {
    const { id } = await actions.propose(a, testLines(name, 20));
    ids.set(name, id);
    if (name !== "proposed") await actions.approve(b, id);
  }
  // The last block.
  await revokeBaseline({ ...ledger.place, key: a, id: ids.get("gone")! });
  honest = [ledger.chain.url, (await startNode(file, ledger.folder)).url];
});

const truth = { web: "approved", proposed: "proposed", gone: "revoked", nobody: "none" };
type Settings = Partial<LedgerConfig> & { heights?: HeightStore; timeoutMs?: number; nowMs?: number };

/** A reader of these endpoints whose clock the test moves, and what it said of them. */
function open(
  urls: readonly string[],
  { heights = heightsInMemory(), timeoutMs = 5000, nowMs, ...config }: Settings = {},
) {
  const clock = { ms: 0, now: () => nowMs ?? Date.now(), monotonicMs: () => clock.ms };
  const said: string[] = [];
  const [url, ...witnesses] = urls as [string, ...string[]];
  const report = (text: string): void => void said.push(text);
  const reader = new ProvedLedger(
    { url, witnesses, registry: ledger.place.registry, ...config },
    { clock, heights, timeoutMs, report },
  );
  const statusOf = async (name: string) => (await reader.standingOf(testIdentity(name))).status;
  return {
    ...{ clock, said, reader, statusOf },
    async all(): Promise<Record<string, string>> {
      const found: Record<string, string> = {};
      for (const name of Object.keys(truth)) found[name] = await statusOf(name);
      return found;
    },
    async linesOf(name: string) {
      const standing = await reader.standingOf(testIdentity(name));
      assert.ok(standing.status === "approved");
      return (await reader.baselineOf(standing.proposal)).lines;
    },
  };
}

const word = (digits: string): Hex => `0x${digits.padStart(64, "0")}`;

/** What a thief would like to be so: the revoked baseline approved, and that which only one has signed. */
async function rewrite({ cheat }: ChainNode): Promise<void> {
  const set = (slot: Hex, value: Hex) => cheat("anvil_setStorageAt", [ledger.place.registry, slot, value]);
  await set(proposalSlot(ids.get("gone")!, "standing"), word("1"));
  await set(proposalSlot(ids.get("proposed")!, "standing"), word("1"));
  await set(currentSlot(identityToHash(testIdentity("proposed"))), ids.get("proposed")!);
}

const node = (t: TestContext, options = {}): Promise<ChainNode> => startNode(endingOf(t), ledger.folder, options);

/** Undone in reverse order: what stands in a folder before the folder. */
function endingOf(t: TestContext) {
  const collected = ending();
  t.after(() => collected.end());
  return collected;
}

/** A node whose last block is another one, of the rewritten state. */
async function forked(t: TestContext, mark = 1): Promise<string> {
  const liar = await node(t);
  await liar.cheat("anvil_rollback", [1]);
  await rewrite(liar);
  await liar.cheat("anvil_setBalance", [ledger.deployer.address, `0x${mark}`]);
  await liar.cheat("evm_mine", []);
  return liar.url;
}

test("endpoints that agree: what stands on the ledger is proved, and the entries lead to it", async (t) => {
  const third = await node(t);
  const { all, said, linesOf, reader } = open([...honest, third.url]);
  assert.deepEqual(await all(), truth);
  const standing = await reader.standingOf(testIdentity("web"));
  assert.ok(standing.status === "approved");
  assert.equal(standing.proposal.id, ids.get("web"));
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

const flip = (hex: string, at: number) => `${hex.slice(0, at)}${hex[at] === "0" ? "1" : "0"}${hex.slice(at + 1)}`;
type Block = Record<string, string>;
type Proof = { accountProof: string[]; storageProof: { proof: string[] }[] };
const onBlock = (lie: (block: Block) => unknown): Lie => on("eth_getBlockByNumber", lie as (result: never) => unknown);
const onProof = (lie: (proof: Proof) => unknown): Lie => on("eth_getProof", lie as (result: never) => unknown);
const on =
  (asked: string, lie: (result: never) => unknown): Lie =>
  (method, result) =>
    method === asked ? lie(result as never) : result;

const remembered: { proof?: unknown } = {};
const lies: Record<string, Lie> = {
  "another state root": onBlock((block) => ({ ...block, stateRoot: flip(block.stateRoot!, 20) })),
  "another number": onBlock((block) => ({ ...block, number: "0x7fffffffffff" })),
  "a later time": onBlock((block) => ({ ...block, timestamp: `${block.timestamp}0` })),
  "another hash": onBlock((block) => ({ ...block, hash: flip(block.hash!, 20) })),
  "no block": onBlock(() => null),
  "a block that is none": onBlock(() => ({ number: "0x5" })),
  "another chain": on("eth_chainId", () => "0x5"),
  "no proof": onProof(() => null),
  "an empty proof": onProof((proof) => ({ ...proof, accountProof: [], storageProof: [] })),
  "no nodes": onProof((proof) => ({ ...proof, accountProof: [] })),
  "a changed account": onProof((proof) => ({
    ...proof,
    accountProof: proof.accountProof.map((item) => flip(item, 70)),
  })),
  "changed slots": onProof((proof) => ({
    ...proof,
    storageProof: proof.storageProof.map(({ proof }) => ({ proof: proof.with(-1, flip(proof.at(-1)!, 12)) })),
  })),
  "slots in another order": onProof((proof) => ({ ...proof, storageProof: proof.storageProof.toReversed() })),
  "slots that are said to be empty": onProof((proof) => ({
    ...proof,
    storageProof: proof.storageProof.map(() => ({ proof: [] })),
  })),
  "nodes without end": onProof((proof) => ({ ...proof, accountProof: Array.from({ length: 100_000 }, () => "0x80") })),
  "the same proof again and again": on("eth_getProof", (proof) => (remembered.proof ??= proof)),
};

for (const [what, lie] of Object.entries(lies))
  test(`an endpoint that gives ${what} is refused alone, and named and left out among others`, async (t) => {
    const url = await lieAbout(endingOf(t), honest[0], lie);
    await assert.rejects(open([url]).all(), { code: "ledger-unverified" });
    const { all, said } = open([url, ...honest]);
    assert.deepEqual(await all(), truth);
    assert.match(said.join("\n"), new RegExp(`endpoint ${url} is left out`));
    assert.ok(
      said.every((text) => text.includes(`endpoint ${url} `)),
      said.join("\n"),
    );
  });

test("entries are taken from an endpoint that has the right ones", async (t) => {
  const url = await lieAbout(endingOf(t), honest[0], (method, result) =>
    method === "eth_getLogs" ? (result as Block[]).map((log) => ({ ...log, data: flip(log.data!, 300) })) : result,
  );
  const { linesOf, said } = open([url, ...honest]);
  assert.deepEqual(await linesOf("web"), testLines("web", 20));
  assert.match(said.join("\n"), new RegExp(`endpoint ${url} is left out: .*not what was signed`));
  await assert.rejects(open([url]).linesOf("web"), { code: "baseline-altered" });
});

test("silent, slow, cut, broken and endless answers keep nobody waiting for long", async (t) => {
  const ends = endingOf(t);
  const forms: Record<string, (response: ServerResponse, body: string) => unknown> = {
    silent: () => undefined,
    slow: async (response, body) => {
      await sleep(4000, undefined, { ref: false });
      response.end(body);
    },
    cut: (response, body) => response.end(body.slice(0, body.length / 2)),
    "cut off": (response) => response.writeHead(200, { "content-length": 100 }).write("{", () => response.destroy()),
    "not JSON": (response) => response.end("<html>"),
    endless: (response) => pour(response),
    failing: (response) => response.writeHead(503).end(),
  };
  for (const [name, form] of Object.entries(forms)) {
    const url = await serve(ends, async (body, response) => {
      const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
      const answer = await openRpc(honest[0]).request(method, params);
      await form(response, JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
    });
    const { all, said } = open([url, ...honest]);
    const started = performance.now();
    assert.deepEqual(await all(), truth, name);
    assert.ok(performance.now() - started < 4500, `${name} took too long`);
    assert.match(said.join("\n"), new RegExp(`endpoint ${url} is left out`), name);
    await assert.rejects(open([url], { timeoutMs: 300 }).all(), (error) => errorCode(error)!.startsWith("ledger-un"));
  }
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
});

test("a cache among liars: right while a minority lies, held for a while and then unverified when most do", async (t) => {
  const state = { lies: 1 };
  const ends = endingOf(t);
  const urls = await Promise.all(
    [1, 2, 3].map((number) =>
      lieAbout(ends, honest[0], (method, result) =>
        number <= state.lies && method === "eth_getProof" ? null : result,
      ),
    ),
  );
  const clock = { ms: 0, now: () => Date.now(), monotonicMs: () => clock.ms };
  const [url, ...witnesses] = urls as [string, ...string[]];
  const cache = new BaselineCache({ url, witnesses, registry: ledger.place.registry }, undefined, clock);
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
