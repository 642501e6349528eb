// What is told of a ledger to whoever looks after it: which block, why it is believed, and who is at fault.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { endpointName, openRpc } from "./rpc/rpc.ts";
import { latestBlock } from "./rpc/rpc-values.ts";
import { ending } from "./testing.ts";
import { lieAbout, serve } from "./testing-endpoints.ts";
import { openReader, startTruth } from "./testing-proved-ledger.ts";

const file = ending();
after(() => file.end());
let truthful: Awaited<ReturnType<typeof startTruth>>;
before(async () => {
  truthful = await startTruth(file);
});
const open = (urls: readonly string[], settings = {}) => openReader(truthful.ledger.place.registry, urls, settings);

test("a ledger that is believed: its block, how many showed it, and what it does not protect against", async () => {
  const { number, timestamp } = await latestBlock(openRpc(truthful.honest[0]));
  const nowMs = Number(timestamp) * 1000 + 5000;
  const { reader } = open([truthful.honest[0]], { nowMs });
  const view = await reader.view();
  assert.equal(view.chainId, `${truthful.ledger.chain.chainId}`);
  assert.deepEqual([view.block?.number, view.block?.ageMs, view.problem], [`${number}`, 5000, null]);
  assert.equal(view.belief, "1 of 1 endpoints showed it, 1 of 1 endpoints must have the same block");
  assert.match(view.endpoints[0]!.client!, /^anvil\//);
  assert.deepEqual(view.warnings, ["the embedded chain protects against nobody who is root on its machine"]);
});

test("an endpoint that is at fault is named with what it did and since when, and not with the key in its address", async () => {
  const silent = await serve(file, (_body, response) => response.destroy());
  const geth = (url: string) =>
    lieAbout(file, url, (method, result) => (method === "web3_clientVersion" ? "Geth/v1.13.15" : result));
  const honest = [await geth(truthful.honest[0]), await geth(truthful.honest[1])];
  const { reader, said, clock } = open([`${silent}/v3/0123456789abcdef`, ...honest], { nowMs: 1_800_000_000_000 });
  const view = await reader.view();
  assert.equal(view.problem, null);
  assert.equal(view.belief, "2 of 3 endpoints showed it, 2 of 3 endpoints must have the same block");
  assert.deepEqual(
    view.endpoints.map(({ fault }) => fault?.since ?? null),
    ["2027-01-15T08:00:00.000Z", null, null],
  );
  assert.deepEqual([view.endpoints[0]!.endpoint, view.endpoints[1]!.client], [`${silent}/…`, "Geth/v1.13.15"]);
  assert.match(view.endpoints[0]!.fault!.text, /does not answer/);
  assert.match(view.warnings.join(), /maxAgeMs/);
  assert.doesNotMatch(JSON.stringify([view, said]), /0123456789abcdef/);

  const standing = view.block;
  const alone = open([`${silent}/v3/0123456789abcdef`, `${silent}/?key=0123456789abcdef`, honest[0]!]);
  const lost = await alone.reader.view();
  assert.deepEqual([lost.problem?.code, lost.block], ["ledger-unverified", null]);
  assert.match(
    lost.problem!.text,
    /no 2 of the ledger's 3 endpoints agree on a block: the chain at \S+ does not answer;/,
  );
  assert.doesNotMatch(JSON.stringify([lost, alone.said]), /0123456789abcdef/);
  assert.notEqual(standing, null);
  clock.ms += 1000;
  assert.deepEqual((await reader.view()).block, standing, "the last one stays known");
});

test("an endpoint's name is its origin: what else is in the address may be a key", () => {
  assert.equal(endpointName("https://ledger.example:8545/"), "https://ledger.example:8545");
  assert.equal(endpointName("https://ledger.example/v3/key"), "https://ledger.example/…");
  assert.equal(endpointName("https://ledger.example/?key=1"), "https://ledger.example/…");
  assert.equal(endpointName("https://user:secret@ledger.example"), "https://ledger.example");
});
