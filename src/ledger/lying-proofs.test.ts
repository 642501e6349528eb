// Servers between a reader and an honest node that change, hold back or repeat what is said.
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode } from "../core/errors.ts";
import { openRpc } from "./rpc/rpc.ts";
import { ending, testLines } from "./testing.ts";
import { type Lie, lieAbout, pour, serve } from "./testing-endpoints.ts";
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
