import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Hex } from "viem";
import { PimsError } from "../../core/errors.ts";
import { ledgerSchema, SEALED_MAX_AGE_MS, singleEndpointNotice } from "../config.ts";
import { openRpc } from "../rpc/rpc.ts";
import { type Ending, ending, testIdentity } from "../testing.ts";
import { lieAbout, startNode } from "../testing-endpoints.ts";
import { endingOf, openReader, type Settings, startTruth, truth } from "../testing-proved-ledger.ts";
import type { Header } from "./block-header.ts";
import { verifyCliqueSeals } from "./clique-seals.ts";
import { startFrom } from "./clique-snapshot.ts";
import { followedFile, followedInMemory, writeSnapshot } from "./followed-chain.ts";
import { heightsInMemory, type LedgerHeight } from "./ledger-height.ts";
import { cliqueGenesis, nextClique } from "./testing-clique.ts";
import { type TestSigner, testSigner, toBlock } from "./testing-sealed-headers.ts";

const file = ending();
after(() => file.end());
let registry: string;
/** A node with the truth, and blocks above it. */
let node: string;
/** A node on which what is revoked never was. */
let oldNode: string;
let chainId: number;
let states: State[];
let oldStates: State[];
let chain: Header[];

const signers = [31, 32, 33].map(testSigner);
const thieves = [41, 42, 43].map(testSigner);

before(async () => {
  const { ledger } = await startTruth(file);
  registry = ledger.place.registry;
  const start = async (without: number, more: number) => {
    const { url, cheat } = await startNode(file, ledger.folder, { without });
    await cheat("anvil_mine", [`0x${more.toString(16)}`, "0x1"]);
    return url;
  };
  [node, oldNode] = [await start(0, 30), await start(1, 31)];
  chainId = Number(await openRpc(node).call("eth_chainId", []));
  [states, oldStates] = (await Promise.all([node, oldNode].map(statesOf))) as [State[], State[]];
  chain = await make([begin(signers, states[0]!)], states, signers);
});

interface State {
  readonly stateRoot: Hex;
}

async function statesOf(url: string): Promise<State[]> {
  const rpc = openRpc(url);
  const blockAt = async (number: string): Promise<{ number: Hex; stateRoot: Hex }> =>
    (await rpc.call("eth_getBlockByNumber", [number, false])) as { number: Hex; stateRoot: Hex };
  const head = Number((await blockAt("latest")).number);
  const blocks = await Promise.all(
    Array.from({ length: head + 1 }, (_, number) => blockAt(`0x${number.toString(16)}`)),
  );
  return blocks.map(({ stateRoot }) => ({ stateRoot }));
}

/** A genesis block, some minutes ago: one block a second follows. */
const begin = (by: readonly TestSigner[], { stateRoot }: State): Header =>
  cliqueGenesis(by, { stateRoot, timestamp: Math.floor(Date.now() / 1000) - 200 });

/** Goes on to the last of `from`'s states, each block by the next of `by`. */
async function make(begun: Header[], from: readonly State[], by: readonly TestSigner[], all = by, until = from.length) {
  const headers = [...begun];
  for (let number = headers.length; number < until; number++) {
    const { stateRoot } = from[number]!;
    headers.push(await nextClique(headers.at(-1)!, by[number % by.length]!, all, { stateRoot }));
  }
  return headers;
}

/** An endpoint with these headers over the state of a node, and what it was asked for. */
async function serve(
  t: Ending,
  headers: () => readonly Header[],
  { url = node, onBlock = (_: number): unknown => undefined, says = "" } = {},
) {
  const lie = async (method: string, result: unknown, params: unknown[]): Promise<unknown> => {
    if (method === "eth_chainId" && says !== "") return says;
    if (method !== "eth_getBlockByNumber") return result;
    const asked = params[0] === "latest" ? headers().length - 1 : Number(params[0]);
    await onBlock(asked);
    const header = headers()[asked];
    return header === undefined ? null : toBlock(header);
  };
  // The node knows its blocks by other hashes.
  return lieAbout(t, url, lie, (method, params) => {
    if (method !== "eth_getProof") return params;
    const { blockHash } = params[2] as { blockHash: string };
    const number = headers().findIndex(({ hash }) => hash === blockHash);
    return [...params.slice(0, 2), `0x${number.toString(16)}`];
  });
}

const rules = () => ({ chainId, checkpoint: { number: 0, hash: chain[0]!.hash as string } });
const open = (urls: readonly string[], settings: Settings = {}) =>
  openReader(registry, urls, { clique: rules(), ...settings });

/** Keeps heights, and shows them. */
function watched() {
  const seen: LedgerHeight[] = [];
  const store = heightsInMemory();
  const write = (name: string, height: LedgerHeight) => {
    seen.push(height);
    return store.write(name, height);
  };
  return { seen, heights: { ...store, write } };
}

test("one endpoint is enough to read what the chain's signers settled", async (t) => {
  const { heights, seen } = watched();
  const url = await serve(endingOf(t), () => chain);
  const reader = open([url], { heights });
  assert.deepEqual(await reader.all(), truth);
  // Two of three signers: the newest block and the one below.
  assert.deepEqual(seen.at(-1), { number: BigInt(chain.length - 2), hash: chain.at(-2)!.hash });
  const deep = watched();
  const below = open([url], { heights: deep.heights, depth: 12 });
  await below.all();
  assert.equal(deep.seen.at(-1)!.number, BigInt(chain.length - 13));
  // Whoever knows the signers is shown by some headers what following the chain has shown.
  const addresses = signers.map(({ address }) => address);
  for (const one of [reader, below]) {
    const { header, above } = (await one.reader.standingOf(testIdentity("web"))).proved;
    await verifyCliqueSeals(header, above, addresses);
    assert.ok(above.length <= 2);
    await assert.rejects(verifyCliqueSeals(header, [], addresses), /1 of 3 signers signed it or a block above/);
  }
  assert.deepEqual(reader.said, []);
});

test("endpoints whose chain breaks a rule are named and left out, however many", async (t) => {
  const end = endingOf(t);
  const right = await serve(end, () => chain);
  const half = chain.slice(0, 20);
  const stolen = await make(half, oldStates, thieves, signers);
  const broken: [Header[], RegExp, string?][] = [
    [chain, /has number 4660, not \d+/, "0x1234"],
    [stolen, /block 20 \(0x[0-9a-f]{64}\) breaks a rule of Clique: 0x[0-9a-f]{40} is none of its signers/],
    [
      await make(half, oldStates, signers.slice(0, 1), signers),
      /breaks a rule of Clique: 0x[0-9a-f]{40} signed too recently/,
    ],
    [[...half, ...chain.slice(25)], /an answer that cannot be right/],
    [chain.with(30, chain[31]!), /another block than asked for/],
    [chain.with(30, stolen[30]!), /its blocks do not follow on each other/],
    [await make([begin(thieves, oldStates[0]!)], oldStates, thieves), /it is not the checkpoint, block 0/],
  ];
  const urls = await Promise.all(
    broken.map(([headers, _, says = ""]) => serve(end, () => headers, { url: oldNode, says })),
  );
  for (const [index, [, why]] of broken.entries())
    await assert.rejects(open([urls[index]!]).all(), { code: "ledger-unverified", message: why });
  const reader = open([...urls, right]);
  assert.deepEqual(await reader.all(), truth);
  for (const url of urls)
    assert.ok(
      reader.said.some((text) => text.includes(`${url} is left out`)),
      url,
    );
  await assert.rejects(open(urls).all(), /none of the ledger's endpoints shows a chain from the checkpoint/);
});

test("a signer alone settles nothing, and the heavier of two chains is taken", async (t) => {
  const end = endingOf(t);
  const common = chain.slice(0, 36);
  const [alone, more] = [await make(common, oldStates, [signers[36 % 3]!], signers, 37), chain.slice(0, 40)];
  const { heights, seen } = watched();
  await open([await serve(end, () => alone)], { heights }).statusOf("web");
  assert.equal(seen.at(-1)!.number, 35n);
  // Two blocks out of turn against one more that is in turn.
  const other = await make(common, oldStates, [signers[(36 + 1) % 3]!], signers, 37);
  const reader = open([await serve(end, () => other), await serve(end, () => more)], { heights });
  await reader.statusOf("web");
  assert.deepEqual(seen.at(-1), { number: 38n, hash: chain[38]!.hash });
  assert.deepEqual(reader.said, []);
});

test("a settled block is never left: a chain without it is named with it", async (t) => {
  const end = endingOf(t);
  // All signers build on another chain from block 20 on.
  const other = await make(
    await make(chain.slice(0, 20), oldStates, [signers[0]!], signers, 21),
    oldStates,
    [signers[1]!, signers[2]!, signers[0]!],
    signers,
  );
  let shown = chain.slice(0, 30);
  const url = await serve(end, () => shown);
  const { heights, seen } = watched();
  const followed = followedInMemory();
  const reader = open([url], { heights, followed });
  await reader.statusOf("web");
  assert.equal(seen.at(-1)!.number, 28n);
  shown = other;
  reader.clock.ms += 2000;
  const both = new RegExp(
    `block 28 \\(${chain[28]!.hash}\\) was settled before, and ${url} has another one \\(${other[28]!.hash}\\)`,
  );
  await assert.rejects(reader.statusOf("web"), { code: "ledger-unverified", message: both });
  // Also after a restart, and when only the height is left.
  for (const kept of [{ heights, followed }, { heights }])
    await assert.rejects(open([url], kept).statusOf("web"), { code: "ledger-unverified", message: both });
  // Beside an endpoint that goes on from it, the other one is left out.
  const right = await serve(end, () => chain);
  const several = open([url, right], { heights, followed });
  assert.deepEqual(await several.all(), truth);
  assert.match(several.said.join("\n"), both);
  // Both new: neither is believed.
  await assert.rejects(open([url, right]).all(), /is settled at http\S+, and http\S+ has another one/);
});

test("an older block is not believed again", async (t) => {
  const end = endingOf(t);
  const heights = heightsInMemory();
  await open([await serve(end, () => chain)], { heights }).all();
  const late = await serve(end, () => chain.slice(0, -5));
  await assert.rejects(open([late], { heights }).all(), /the ledger is back at block/);
  const reader = open([await serve(end, () => chain.slice(0, -20)), await serve(end, () => chain)], { heights });
  assert.deepEqual(await reader.all(), truth);
  assert.match(reader.said.join("\n"), /is behind, at block \d+ of \d+/);
  // Who followed to the end himself says so, too.
  let shown = chain;
  const one = open([await serve(end, () => shown)]);
  await one.all();
  shown = chain.slice(0, -5);
  one.clock.ms += 2000;
  await assert.rejects(one.all(), /is behind, at block \d+ of \d+/);
});

test("a chain that stands still, or is of the future, proves nothing", async (t) => {
  const url = await serve(endingOf(t), () => chain);
  const ofMs = Number(chain.at(-2)!.timestamp) * 1000;
  await open([url], { nowMs: ofMs + SEALED_MAX_AGE_MS }).all();
  await assert.rejects(open([url], { nowMs: ofMs + SEALED_MAX_AGE_MS + 1 }).all(), /older than 'ledger.maxAgeMs'/);
  await open([url], { nowMs: ofMs + SEALED_MAX_AGE_MS + 1, maxAgeMs: 400_000 }).all();
  await assert.rejects(open([url], { nowMs: ofMs - 70_000 }).all(), /is of a time yet to come/);
});

test("a long way is gone in several lookups, and not again after a restart", async (t) => {
  const end = endingOf(t);
  const folder = await mkdtemp(join(tmpdir(), "pims-followed-"));
  end.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "ledger-followed");
  const asked: number[] = [];
  let reader: ReturnType<typeof open> | undefined;
  let slowly = 200;
  const url = await serve(end, () => chain, {
    onBlock: (number) => {
      asked.push(number);
      reader!.clock.ms += slowly;
    },
  });
  const settings = { followed: followedFile(path) };
  reader = open([url], settings);
  const underWay = new RegExp(`followed from its checkpoint, so far to block (\\d+) of ${chain.length - 1}`);
  await assert.rejects(reader.statusOf("web"), { code: "ledger-unverified", message: underWay });
  reader = open([url], settings);
  asked.length = 0;
  slowly = 0;
  assert.deepEqual(await reader.all(), truth);
  const lowest = Math.min(...asked);
  assert.ok(lowest > 20 && lowest < 40, `from ${lowest}`);
  // What is kept is of this chain only, and a damaged file is told of.
  const other = { ...rules(), epoch: 2000 };
  asked.length = 0;
  reader = open([url], { ...settings, clique: other });
  assert.deepEqual(await reader.all(), truth);
  assert.ok(asked.includes(0));
  await writeFile(path, `clique 0 ${chain[0]!.hash} 30000\n{}\n`);
  reader = open([url], settings);
  await assert.rejects(reader.all(), /what was kept of the ledger's chain in \S+ledger-followed is damaged/);
});

test("where what is kept is another chain's, its file is named beside the endpoints that are left out", async (t) => {
  const end = endingOf(t);
  const folder = await mkdtemp(join(tmpdir(), "pims-followed-"));
  end.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "ledger-followed");
  const url = await serve(end, () => chain);
  const kept = startFrom(begin(thieves, oldStates[0]!), {
    ...{ checkpoint: { number: 0, hash: begin(thieves, oldStates[0]!).hash }, epoch: 30_000, periodMs: 1000 },
  });
  const put = (number: bigint) =>
    followedFile(path).write(`clique 0 ${chain[0]!.hash} 30000`, writeSnapshot({ ...kept, number }));
  await put(20n);
  const named = new RegExp(`block 20 \\(0x[0-9a-f]{64}\\) was settled before, as ${path} says, and ${url} has another`);
  const hint = new RegExp(`see who wrote ${path}.* and remove it`);
  const fails = (message: RegExp) => (error: unknown) => {
    assert.ok(error instanceof PimsError && error.code === "ledger-unverified");
    assert.match(error.message, message);
    assert.match(String(error.hint), hint);
    return true;
  };
  await assert.rejects(open([url], { followed: followedFile(path) }).all(), fails(named));
  const both = open([url, await serve(end, () => chain)], { followed: followedFile(path) });
  await assert.rejects(both.all(), fails(/none of the ledger's endpoints shows a chain/));
  assert.match(both.said.join("\n"), named);
  // Above all that the endpoints have.
  await put(1000n);
  await assert.rejects(open([url], { followed: followedFile(path) }).all(), fails(/is behind, at block \d+ of 1000/));
  await rm(path);
  assert.deepEqual(await open([url], { followed: followedFile(path) }).all(), truth);
});

test("an endpoint that keeps one waiting for blocks keeps nobody from reading", async (t) => {
  const end = endingOf(t);
  const isRead = Promise.withResolvers<void>();
  const right = await serve(end, () => chain, {
    onBlock: (number) => {
      if (number === chain.length - 2) setTimeout(isRead.resolve, 300);
    },
  });
  let reader: ReturnType<typeof open> | undefined;
  const slow = await serve(end, () => chain, {
    onBlock: async (number) => {
      if (number !== 20) return;
      await isRead.promise;
      reader!.clock.ms += 5000;
    },
  });
  for (const urls of [
    [slow, right],
    [right, slow],
  ]) {
    reader = open(urls);
    assert.deepEqual(await reader.all(), truth);
    assert.match(reader.said.join("\n"), new RegExp(`${slow} is left out: .* answers too slowly`));
  }
});

test("a configuration follows a chain from an epoch's first block, or counts seals, or agreement", () => {
  const base = { url: "http://127.0.0.1:1", registry: `0x${"11".repeat(20)}` };
  const problem = (more: object) => ledgerSchema.safeParse({ ...base, ...more }).error?.issues[0]?.message;
  const hash: Hex = `0x${"AB".repeat(32)}`;
  const clique = { chainId: 1, checkpoint: { number: 60_000, hash } };
  assert.equal(problem({ clique }), undefined);
  assert.equal(problem({ clique, depth: 12, witnesses: ["http://127.0.0.1:2"], maxAgeMs: 60_000 }), undefined);
  assert.match(problem({ clique: { ...clique, checkpoint: { number: 60_001, hash } } })!, /an epoch's first block/);
  assert.match(problem({ clique, agree: 1 })!, /'agree' does not go with them/);
  assert.match(problem({ clique, depth: "finalized" })!, /'depth' is a number there/);
  const validators = { kind: "qbft", chainId: 7077, addresses: [`0x${"22".repeat(20)}`] };
  assert.match(problem({ clique, validators })!, /not both/);
  for (const bad of [
    {},
    { checkpoint: clique.checkpoint },
    { chainId: 1, checkpoint: { number: 0 } },
    { ...clique, periodMs: 1500 },
    { ...clique, epoch: 0 },
  ])
    assert.ok(problem({ clique: bad }), JSON.stringify(bad));
  assert.equal(singleEndpointNotice({ ...base, clique }), undefined);
});
