import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { numberToHex } from "viem";
import { ledgerSchema, SEALED_MAX_AGE_MS, singleEndpointNotice } from "./config.ts";
import { heightsInMemory } from "./header/ledger-height.ts";
import { readHeader } from "./header/read-header.ts";
import { commitBlock, testSigner } from "./header/testing-sealed-headers.ts";
import { openRpc } from "./rpc/rpc.ts";
import { ending } from "./testing.ts";
import { type ChainNode, lieAbout, startNode } from "./testing-endpoints.ts";
import { endingOf, openReader, type Settings, startTruth, truth } from "./testing-proved-ledger.ts";

const file = ending();
after(() => file.end());
let truthful: Awaited<ReturnType<typeof startTruth>>;
before(async () => {
  truthful = await startTruth(file);
  validators.chainId = Number(await openRpc(truthful.honest[0]).call("eth_chainId", []));
});

const signers = [11, 12, 13, 14].map(testSigner);
const thieves = [21, 22, 23, 24].map(testSigner);
const validators = { kind: "qbft" as const, chainId: 1, addresses: signers.map(({ address }) => address) };
type Sealing = { by?: typeof signers; kind?: "qbft" | "ibft2"; round?: number; chainId?: string };

/** An endpoint of a chain with the state of another one, whose blocks these validators sealed. */
function sealing(
  t: Parameters<typeof lieAbout>[0],
  url: string,
  { by = signers, kind = "qbft", round, chainId }: Sealing = {},
) {
  return lieAbout(
    t,
    url,
    async (method, result) => {
      if (method === "eth_chainId" && chainId !== undefined) return chainId;
      if (method !== "eth_getBlockByNumber") return result;
      return commitBlock(result as object, kind, by, by, round);
    },
    // That chain knows its blocks by other hashes, and makes none meanwhile.
    (method, params) => (method === "eth_getProof" ? [...params.slice(0, 2), "latest"] : params),
  );
}

const open = (urls: readonly string[], settings: Settings = {}) =>
  openReader(truthful.ledger.place.registry, urls, { validators, ...settings });

/** A node on which a revoked baseline was never revoked. */
async function startOld(t: Parameters<typeof startNode>[0]): Promise<ChainNode> {
  return startNode(t, truthful.ledger.folder, { without: 1 });
}

for (const kind of ["qbft", "ibft2"] as const)
  test(`${kind}: what seals prove is read from one endpoint, whatever else says otherwise`, async (t) => {
    const end = endingOf(t);
    const url = await sealing(end, truthful.honest[0], { kind });
    const settings = { validators: { ...validators, kind } };
    assert.deepEqual(await open([url], settings).all(), truth);
    // Three endpoints agree on a chain that thieves sealed, a fourth shows the one that the validators did.
    const old = await startOld(end);
    const theirs = await Promise.all([1, 2, 3].map(() => sealing(end, old.url, { kind, by: thieves })));
    const reader = open([...theirs, url], settings);
    assert.deepEqual(await reader.all(), truth);
    assert.equal(reader.said.filter((text) => text.includes("0 of 4 validators sealed it, 3 must")).length, 3);
    await assert.rejects(open(theirs, settings).all(), /none of the ledger's endpoints shows a sealed block/);
    await assert.rejects(open([theirs[0]!], settings).all(), /0 of 4 validators sealed it/);
    // Seals of the other kind, and none.
    const other = await sealing(end, truthful.honest[0], { kind: kind === "qbft" ? "ibft2" : "qbft" });
    await assert.rejects(open([other], settings).all(), /its extra data is not that of/);
    await assert.rejects(open([truthful.honest[0]], settings).all(), /its extra data is not that of/);
  });

test("two of four validators seal nothing", async (t) => {
  const url = await sealing(endingOf(t), truthful.honest[0], { by: [...signers.slice(0, 2), ...thieves] });
  await assert.rejects(open([url]).all(), {
    code: "ledger-unverified",
    message: /2 of 4 validators sealed it, 3 must, and it names other validators/,
  });
});

test("a sealed block proves for five minutes that nothing changed, or as long as configured, and is not of the future", async (t) => {
  const url = await sealing(endingOf(t), truthful.honest[0]);
  const made = Number((await readHeader(openRpc(url), "latest")).timestamp) * 1000;
  await open([url], { nowMs: made + SEALED_MAX_AGE_MS }).all();
  const late = made + SEALED_MAX_AGE_MS + 1;
  await assert.rejects(open([url], { nowMs: late }).all(), /older than 'ledger.maxAgeMs' allows/);
  await open([url], { nowMs: late, maxAgeMs: 600_000 }).all();
  await assert.rejects(open([url], { nowMs: made - 60_001 }).all(), /which is yet to come/);
});

test("an older sealed block is not believed again", async (t) => {
  const end = endingOf(t);
  const heights = heightsInMemory();
  await open([await sealing(end, truthful.honest[0])], { heights }).all();
  const old = await startOld(end);
  const late = await sealing(end, old.url);
  await assert.rejects(open([late], { heights }).all(), /the ledger is back at block \d+, after block \d+/);
  // Beside an endpoint with the newest block it is merely late.
  const newest = await sealing(end, truthful.honest[1]);
  assert.deepEqual(await open([late, newest], { heights }).all(), truth);
});

test("what the same validators sealed on another chain proves nothing, whatever number it is given", async (t) => {
  const end = endingOf(t);
  const [a, b] = await Promise.all(truthful.honest.map((url) => sealing(end, url)));
  const other = await sealing(end, truthful.honest[0], { chainId: "0x1234" });
  const reader = open([other, a!, b!]);
  assert.deepEqual(await reader.all(), truth);
  assert.match(reader.said.join("\n"), /has number 4660, not \d+/);
  await assert.rejects(open([other]).statusOf("web"), /has number 4660, not \d+/);
  // The registry of one chain, shown as that of chain 4660: its proposals name the chain that they are on.
  const settings = { validators: { ...validators, chainId: 4660 } };
  await assert.rejects(open([other], settings).statusOf("web"), { code: "ledger-unverified" });
  assert.equal(await open([other], settings).statusOf("nobody"), "none");
});

test("an endpoint that is far behind is named", async (t) => {
  const end = endingOf(t);
  const ahead = await startNode(end, truthful.ledger.folder);
  await ahead.cheat("anvil_mine", ["0xa", "0x0"]);
  const reader = open([await sealing(end, truthful.honest[0]), await sealing(end, ahead.url)]);
  assert.deepEqual(await reader.all(), truth);
  assert.match(reader.said.join("\n"), /is behind, at block \d+ of \d+/);
});

test("who has a block before all others and proves nothing of it keeps nobody from reading", async (t) => {
  const end = endingOf(t);
  const ahead = await startNode(end, truthful.ledger.folder);
  await ahead.cheat("anvil_mine", ["0x1", "0x0"]);
  const rpc = openRpc(ahead.url);
  const { number } = await readHeader(rpc, "latest");
  const before = await rpc.call("eth_getBlockByNumber", [numberToHex(number - 1n), false]);
  const seal = (block: unknown) => commitBlock(block as object, "qbft", signers, signers);
  let [asked, proofs, lies] = [0, 0, 0];
  const isThere = () => asked > 2;
  const endpoint = (isLiar: boolean) =>
    lieAbout(
      end,
      ahead.url,
      (method, result) => {
        if (method === "eth_getBlockByHash") return ++asked > 2 ? {} : null;
        if (method === "eth_getProof" && !isLiar) proofs += isThere() ? 1 : 1000;
        if (method === "eth_getProof" && isLiar) return { lies: ++lies };
        if (method !== "eth_getBlockByNumber") return result;
        return seal(isLiar || isThere() ? result : before);
      },
      (method, params) => (method === "eth_getProof" ? [...params.slice(0, 2), "latest"] : params),
    );
  const reader = open([await endpoint(true), await endpoint(false)]);
  assert.deepEqual(await reader.all(), truth);
  assert.equal(reader.said.length, 1);
  assert.match(reader.said[0]!, /malformed proof/);
  assert.ok(lies === 1 && proofs > 0 && proofs < 1000, `${lies} ${proofs}`);
  // Alone it is waited for a moment only.
  asked = Number.NEGATIVE_INFINITY;
  await assert.rejects(open([await endpoint(true), await endpoint(false)]).all(), { code: "ledger-unverified" });
});

test("two sealed blocks of one number are named, and neither is believed", async (t) => {
  const end = endingOf(t);
  const rewritten = await startNode(end, truthful.ledger.folder);
  const [a, b] = [await sealing(end, truthful.honest[0]), await sealing(end, rewritten.url)];
  await open([a, b]).all();
  const old = await startOld(end);
  // Another block in the place of the newest one.
  await old.cheat("anvil_mine", ["0x1", "0x0"]);
  const c = await sealing(end, old.url);
  await assert.rejects(open([a, c]).all(), /validators sealed two blocks \d+, 0x[0-9a-f]{64} and 0x[0-9a-f]{64}/);
});

test("a configuration says in one way why a block is believed", () => {
  const base = { url: "http://127.0.0.1:1", registry: `0x${"11".repeat(20)}` };
  const problem = (more: object) => ledgerSchema.safeParse({ ...base, ...more }).error?.issues[0]?.message;
  assert.equal(problem({ validators }), undefined);
  const upper = validators.addresses.map((address) => `0x${address.slice(2).toUpperCase()}`);
  assert.equal(problem({ validators: { ...validators, addresses: upper } }), undefined);
  assert.match(problem({ validators, agree: 1 })!, /'agree' does not go with them/);
  for (const depth of [1, "finalized"]) assert.match(problem({ validators, depth })!, /sealed is final/);
  const twice = { ...validators, addresses: [...validators.addresses, upper[0]!] };
  assert.match(problem({ validators: twice })!, /a validator stands twice/);
  for (const bad of [
    { kind: "qbft", chainId: 1, addresses: [] },
    { kind: "qbft", addresses: upper },
    { kind: "clique", chainId: 1, addresses: upper },
  ])
    assert.ok(problem({ validators: bad }));
  assert.ok(singleEndpointNotice(base) !== undefined);
  assert.equal(singleEndpointNotice({ ...base, validators }), undefined);
});
