// What publishers' commands do when one of several endpoints lies to them, the first one, too.
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { type Hex, keccak256 } from "viem";
import { approveBaseline, type Review } from "./approve.ts";
import { identityToHash, zeroHash } from "./contract/identity.ts";
import { currentSlot, governanceSlot, proposalSlot, publisherSlot } from "./contract/registry-storage.ts";
import { openRegistry } from "./open-ledger.ts";
import { proposeBaseline } from "./propose.ts";
import { listBaselines, readBaseline, readProposedBaseline } from "./read-baseline.ts";
import { readGovernance } from "./registry-reads.ts";
import { revokeBaseline } from "./revoke.ts";
import { openRpc } from "./rpc/rpc.ts";
import { ending, testIdentity, testLines } from "./testing.ts";
import { type Lie, lieAbout, serve, startNode } from "./testing-endpoints.ts";
import { endingOf, startTruth } from "./testing-proved-ledger.ts";

const file = ending();
after(() => file.end());
let truthful: Awaited<ReturnType<typeof startTruth>>;
let chain: string;
/** The same chain by another address. */
let mirror: string;
before(async () => {
  truthful = await startTruth(file);
  chain = truthful.ledger.chain.url;
  mirror = await lieAbout(file, chain, (_, result) => result);
});

const word = (digits: string): Hex => `0x${digits.padStart(64, "0")}`;

/** A node of the chain whose owner has rewritten its state, in a last block of its own. */
async function startLiar(t: TestContext, slots: Record<Hex, Hex>): Promise<string> {
  const { url, cheat } = await startNode(endingOf(t), truthful.ledger.folder);
  await cheat("anvil_rollback", [1]);
  for (const [slot, value] of Object.entries(slots))
    await cheat("anvil_setStorageAt", [truthful.ledger.place.registry, slot, value]);
  await cheat("anvil_setBalance", [truthful.ledger.deployer.address, "0x1"]);
  await cheat("evm_mine", []);
  return url;
}

function placeOf(url: string, witnesses: readonly string[]) {
  const said: string[] = [];
  const { registry } = truthful.ledger.place;
  const report = (text: string): void => void said.push(text);
  return { said, place: { url, witnesses: [...witnesses], registry, report } };
}

const orders = (liar: string): [string, string[]][] => [
  [liar, [chain, mirror]],
  [chain, [liar, mirror]],
];

test("what is shown and listed is proved, whatever one endpoint says, and it is named", async (t) => {
  const [gone, proposed] = ["gone", "proposed"].map((name) => truthful.ids.get(name)!) as [Hex, Hex];
  const liar = await startLiar(t, {
    [proposalSlot(gone, "standing")]: word("1"),
    [proposalSlot(proposed, "standing")]: word("1"),
    [currentSlot(identityToHash(testIdentity("proposed")))]: proposed,
    [governanceSlot]: word("1"),
    [publisherSlot(0)]: word("7"),
  });
  const all = async (place: Parameters<typeof listBaselines>[0]) =>
    (await listBaselines(place)).baselines.map(({ status }) => status);
  const shown = async (place: Parameters<typeof listBaselines>[0], name: string) =>
    (await readBaseline({ ...place, identity: testIdentity(name) })).status;
  const { place: alone } = placeOf(liar, []);
  assert.deepEqual(await all(alone), ["approved", "approved", "approved"], "alone it is believed");
  for (const order of orders(liar)) {
    const { said, place } = placeOf(...order);
    assert.deepEqual(await all(place), ["approved", "proposed", "revoked"]);
    assert.deepEqual([await shown(place, "gone"), await shown(place, "proposed")], ["revoked", "proposed"]);
    assert.equal((await readProposedBaseline({ ...place, id: gone })).proposal.status, "revoked");
    const { quorum, publishers } = await readGovernance(await openRegistry(place));
    assert.deepEqual([quorum, publishers.length], [2, 3]);
    assert.ok(!publishers.some((publisher) => /^0x0+7$/.test(publisher)));
    assert.match(said.join("\n"), new RegExp(`endpoint ${liar} is left out`));
    assert.ok(
      said.every((text) => text.includes(liar)),
      said.join("\n"),
    );
  }
});

test("what a signature changes cannot be hidden by one endpoint, and the signature reaches the chain", async (t) => {
  const [a, b, c] = truthful.ledger.publishers;
  for (const [index, signer] of [b, c].entries()) {
    const lines = testLines("web", 20, `next ${index}`);
    const { id } = await proposeBaseline({ ...truthful.ledger.place, key: a, lines });
    // The liar's chain is another one from the last block on, which is not to be one of this proposal.
    await proposeBaseline({ ...truthful.ledger.place, key: a, lines: testLines(`later ${index}`, 1) });
    const before = await readBaseline({ ...truthful.ledger.place, identity: testIdentity("web") });
    assert.ok(before.status === "approved");
    const liar = await startLiar(t, { [currentSlot(identityToHash(testIdentity("web")))]: zeroHash });
    const { said, place } = placeOf(...orders(liar)[index]!);
    const reviews: Review[] = [];
    const review = (one: Review): void => void reviews.push(one);
    const alone = { url: liar, registry: place.registry, key: signer, id };
    const deceived = approveBaseline({ ...alone, review: (one) => Promise.reject(new Error(`${one.approved}`)) });
    await assert.rejects(deceived, /null/, "alone it is believed");
    const done = await approveBaseline({ ...place, key: signer, id, review });
    assert.deepEqual(reviews[0]!.approved!.lines, before.baseline.lines);
    assert.match(reviews[0]!.differences.join(), /20 files with other content/);
    assert.deepEqual([reviews[0]!.at.agreed, reviews[0]!.at.endpoints], [2, 3]);
    assert.deepEqual([done.status, done.approvals, done.at!.agreed], ["approved", 2, 2]);
    assert.ok(done.at!.block.number > reviews[0]!.at.block.number);
    assert.match(said.join("\n"), new RegExp(`endpoint ${liar} is left out: .*has another block`));
  }
});

test("an endpoint that refuses a transaction, or keeps it to itself, does not keep it from the chain", async (t) => {
  const [a, b] = truthful.ledger.publishers;
  const answers: Record<string, Record<string, (params: unknown[]) => object>> = {
    refuses: { eth_estimateGas: () => ({ error: { code: 3, message: "execution reverted" } }) },
    keeps: { eth_sendRawTransaction: ([raw]) => ({ result: keccak256(raw as Hex) }) },
    "counts too far": { eth_getTransactionCount: () => ({ result: "0x40" }) },
    "counts too little": { eth_getTransactionCount: () => ({ result: "0x0" }) },
    "is too cheap": { eth_gasPrice: () => ({ result: "0x0" }), eth_estimateGas: () => ({ result: "0x5208" }) },
    "is too dear": { eth_gasPrice: () => ({ result: "0xffffffffffffffff" }) },
    "hides receipts": { eth_getTransactionReceipt: () => ({ result: null }) },
  };
  for (const [name, own] of Object.entries(answers)) {
    const { id } = await proposeBaseline({ ...truthful.ledger.place, key: a, lines: testLines(name, 2) });
    const url = await serve(endingOf(t), async (body, response) => {
      const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
      const answer = own[method]?.(params) ?? (await openRpc(chain).request(method, params));
      response.end(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
    });
    const { said, place } = placeOf(url, [chain, mirror]);
    const done = await approveBaseline({ ...place, key: b, id });
    assert.deepEqual([done.status, done.approvals], ["approved", 2], name);
    const isNamed = said.some((text) => text.includes(`endpoint ${url} is left out: it refused`));
    assert.equal(isNamed, name === "refuses", said.join("\n"));
  }
});

test("what one endpoint alone says was done is not taken for done", async (t) => {
  const [a, b] = truthful.ledger.publishers;
  const { id } = await proposeBaseline({ ...truthful.ledger.place, key: a, lines: testLines("one word", 2) });
  const ends = endingOf(t);
  const copies = [
    (await startNode(ends, truthful.ledger.folder)).url,
    (await startNode(ends, truthful.ledger.folder)).url,
  ];
  // The others take nothing from anybody: a transaction reaches the first one only.
  const deaf: Lie = (method, result) => (method === "eth_estimateGas" ? undefined : result);
  const cut = await Promise.all(copies.map((url) => lieAbout(ends, url, deaf)));
  const { place } = placeOf(chain, cut);
  const done = await approveBaseline({ ...place, key: b, id, shownWithinMs: 700 });
  assert.deepEqual([done.status, done.approvals, done.at], ["sent", null, null]);
  assert.equal(
    (await readBaseline({ ...truthful.ledger.place, identity: testIdentity("one word") })).status,
    "approved",
  );
  const revoked = await revokeBaseline({ ...placeOf(chain, [mirror]).place, key: b, id });
  assert.equal(revoked.at!.agreed, 2);
});
