import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hex } from "viem";
import { type Header, parseHeader } from "./block-header.ts";
import {
  type CliqueBlock,
  type CliqueRules,
  type CliqueSnapshot,
  follow,
  settledIn,
  startFrom,
} from "./clique-snapshot.ts";
import { type CliqueFields, cliqueGenesis, gethHeaders, nextClique } from "./testing-clique.ts";
import { EXTRA, type TestSigner, testSigner, twinOf, withItem } from "./testing-sealed-headers.ts";

const refused = { code: "ledger-unverified" };
const sorted = (count: number): TestSigner[] =>
  Array.from({ length: count }, (_, index) => testSigner(index + 101)).toSorted((a, b) =>
    a.address < b.address ? -1 : 1,
  );
const rulesFor = (genesis: Header, epoch = 30_000): CliqueRules => ({
  checkpoint: { number: 0, hash: genesis.hash },
  ...{ epoch, periodMs: 1000 },
});

async function followAll(headers: readonly Header[], rules: CliqueRules): Promise<CliqueBlock[]> {
  const blocks: CliqueBlock[] = [];
  let last: CliqueSnapshot = startFrom(headers[0]!, rules);
  for (const header of headers.slice(1)) {
    const block = await follow(last, header, rules);
    blocks.push(block);
    last = block.after;
  }
  return blocks;
}

test("a chain of geth is followed, through votes and epochs, to the signers that geth itself says", async () => {
  const { headers, signers, rules } = gethHeaders();
  let expected = signers.get(32)!;
  assert.deepEqual(startFrom(headers[0]!, rules).signers, expected);
  const blocks = await followAll(headers, rules);
  assert.equal(blocks.length, 64);
  const sizes = new Set<number>();
  for (const { header, after, signer, signers: before } of blocks) {
    assert.ok(before.includes(signer));
    expected = signers.get(Number(header.number)) ?? expected;
    assert.deepEqual([...after.signers].toSorted(), [...expected].toSorted(), `block ${header.number}`);
    sizes.add(after.signers.length);
  }
  assert.deepEqual([...sizes], [1, 2, 3]);
});

test("no byte of a block of geth can be another", async () => {
  const { headers, rules } = gethHeaders();
  const before = (await followAll(headers.slice(0, 11), rules)).at(-1)!.after;
  const header = headers[11]!;
  await follow(before, header, rules);
  const bytes = Buffer.from(header.rlp.slice(2), "hex");
  for (let at = 0; at < bytes.length; at += at > 100 && at < 440 ? 23 : 3) {
    const altered = `0x${Buffer.from(bytes.with(at, bytes[at]! ^ 1)).toString("hex")}` as const;
    await assert.rejects(async () => follow(before, parseHeader(altered), rules), refused, `byte ${at}`);
  }
});

test("each rule refuses by itself", async () => {
  const [a, b, c] = sorted(3) as [TestSigner, TestSigner, TestSigner];
  const all = [a, b, c];
  const genesis = cliqueGenesis(all);
  const rules = rulesFor(genesis, 4);
  const one = await nextClique(genesis, b, all);
  const start = startFrom(genesis, rules);
  const first = await follow(start, one, rules);
  assert.equal(one.difficulty, 2n);
  const refuses = async (why: RegExp, by: TestSigner, fields: CliqueFields = {}, last = first.after, parent = one) =>
    assert.rejects(async () => follow(last, await nextClique(parent, by, all, fields), rules), {
      ...refused,
      message: why,
    });
  await follow(first.after, await nextClique(one, c, all), rules);
  await follow(first.after, await nextClique(one, a, all), rules);
  await refuses(/does not come after block 1/, c, { number: 3 });
  await refuses(/its parent is not block 1 \(0x/, c, { parentHash: genesis.hash });
  await refuses(/too soon after its parent/, c, { timestamp: Number(one.timestamp) });
  await refuses(/mixHash is not zero/, c, { mixHash: `0x${"01".repeat(32)}` });
  await refuses(/nonce is no vote/, c, { nonce: "0x00000000000000ff" });
  await refuses(/extra data is of another length/, c, { listed: [a.address] });
  await refuses(/extra data is of another length/, c, { extraData: `0x${"00".repeat(96)}` });
  await refuses(/seal is no signature/, c, { seal: `0x${"00".repeat(65)}` });
  await refuses(/is none of its signers/, testSigner(99));
  await refuses(/signed too recently/, b);
  await refuses(/difficulty is not that/, c, { difficulty: 1 });
  await refuses(/difficulty is not that/, a, { difficulty: 2 });
  await refuses(/difficulty is not that/, a, { difficulty: 3 });
  await refuses(/seal is no signature/, c, { seal: `0x${"ff".repeat(64)}00` });
  // As geth does: the twin of a seal is its signer's, in a block of another hash.
  const right = await nextClique(one, c, all);
  const twin = await nextClique(one, c, all, { seal: twinOf(`0x${right.extraData.slice(-130)}`) });
  assert.notEqual(twin.hash, right.hash);
  assert.equal((await follow(first.after, twin, rules)).signer, c.address);
  // The first block of an epoch lists the signers, and holds no vote.
  const two = await nextClique(one, c, all);
  const three = await nextClique(two, a, all);
  const after = (await followAll([genesis, one, two, three], rules)).at(-1)!.after;
  const listed = all.map(({ address }) => address);
  await follow(after, await nextClique(three, b, all, { listed }), rules);
  const atEpoch = (why: RegExp, fields: CliqueFields) => refuses(why, b, fields, after, three);
  await atEpoch(/lists other signers/, { listed: listed.slice(1) });
  await atEpoch(/lists other signers/, { listed: [...listed, testSigner(9).address] });
  await atEpoch(/lists other signers/, { listed: listed.toReversed() });
  await atEpoch(/a vote in an epoch's first block/, { listed, vote: [a.address, false] });
  await atEpoch(/a vote in an epoch's first block/, { listed, nonce: `0x${"ff".repeat(8)}` });
  await atEpoch(/no list of signers/, { extraData: `0x${"00".repeat(98)}` });
  // Blocks of another chain, and the same one again.
  const other = cliqueGenesis(all, { timestamp: 5 });
  await refuses(/does not come after/, a, {}, first.after, other);
  await assert.rejects(follow(first.after, one, rules), /does not come after/);
});

test("a chain begins at the configured block, which lists each signer once", () => {
  const all = sorted(3);
  const genesis = cliqueGenesis(all.toReversed());
  assert.deepEqual(
    startFrom(genesis, rulesFor(genesis)).signers,
    all.map(({ address }) => address),
  );
  const upper = { ...rulesFor(genesis), checkpoint: { number: 0, hash: `0x${genesis.hash.slice(2).toUpperCase()}` } };
  assert.equal(startFrom(genesis, upper).signers.length, 3);
  const begins =
    (header: Header, rules = rulesFor(header)) =>
    () =>
      startFrom(header, rules);
  assert.throws(begins(cliqueGenesis(sorted(2)), rulesFor(genesis)), /it is not the checkpoint, block 0/);
  const late = cliqueGenesis(all, { number: 8 });
  const at = (epoch: number) => ({ ...rulesFor(late, epoch), checkpoint: { number: 8, hash: late.hash } });
  assert.equal(startFrom(late, at(4)).number, 8n);
  assert.throws(begins(late, at(5)), /an epoch's first block/);
  assert.throws(begins(cliqueGenesis([])), /lists no signers/);
  assert.throws(begins(cliqueGenesis([...all, all[0]!])), /lists a signer twice/);
  assert.throws(begins(withItem(genesis, EXTRA, "0x00")), /no list of signers/);
  assert.throws(begins(cliqueGenesis(Array.from({ length: 256 }, () => all[0]!))), /no list of signers/);
});

/**
 * A chain in which every signer that may sign next casts what the list says: `A+D` is A's vote for D, `A` a block without a
 * vote, `A-B` one against B. Names are in the order of the addresses. Gives the signers at its end.
 */
async function votes(initial: string, list: string, epoch = 30_000): Promise<string> {
  const people = sorted(7);
  const named = (name: string): TestSigner => people["ABCDEFG".indexOf(name)]!;
  const genesis = cliqueGenesis([...initial].map(named));
  const rules = rulesFor(genesis, epoch);
  let last = startFrom(genesis, rules);
  let parent = genesis;
  for (const [by, sign, about] of list.split(" ").filter((word) => word !== "")) {
    const signers = last.signers.map((address) => ({ address }));
    const fields: CliqueFields = sign === undefined ? {} : { vote: [named(about!).address, sign === "+"] };
    const listed = (last.number + 1n) % BigInt(epoch) === 0n ? last.signers : [];
    parent = await nextClique(parent, named(by!), signers, { ...fields, listed });
    last = (await follow(last, parent, rules)).after;
  }
  return last.signers.map((address) => "ABCDEFG"[people.findIndex((one) => one.address === address)]).join("");
}

for (const [initial, list, expected, what] of [
  ["A", "A", "A", "a signer alone, without votes"],
  ["A", "A+B B A+C", "AB", "one signer adds a second; two need both"],
  ["AB", "A+C B+C A+D B+D C A+E B+E", "ABCD", "two thirds are not asked of four"],
  ["A", "A-A", "", "the last signer removes itself, and the chain ends"],
  ["AB", "A-B", "AB", "two signers need both to remove one"],
  ["AB", "A-B B-B", "A", "which they do"],
  ["ABC", "A-C B-C", "AB", "two of three remove the third"],
  ["ABCD", "A-D B-D", "ABCD", "two of four do not"],
  ["ABCD", "A-D B-D C-D", "ABC", "three of four do"],
  ["AB", "A+C B A+C B A+C", "AB", "a vote for one counts once"],
  ["AB", "A+C B A+D B A B+D A B+C", "ABCD", "several votes are open at once"],
  ["AB", "A+C B A-C B+C", "AB", "a vote that is taken back does not count"],
  ["ABC", "A+D B A-D C B+D", "ABC", "nor one that is taken back by a vote of no effect"],
  ["ABCD", "A-C B C A-D B C A B-D C-D A B-C", "AB", "two open votes, one after the other"],
  ["ABC", "C+D A-C B-C A+D", "AB", "what a removed signer voted is gone"],
  ["ABC", "A+B B-A C+A", "ABC", "votes for signers, and single ones against, change nothing"],
  [
    "ABCD",
    "A-C B C A-D B-C C A B-D C-D A C+C",
    "AB",
    "earlier votes that became enough count when the account is touched",
  ],
  ["ABCD", "A-C B C A-D B-C C A B-D C-D A B+C", "ABC", "or no more, when a vote is taken back"],
] as const)
  test(`votes: ${what} (${list})`, async () => assert.equal(await votes(initial, list), expected));

test("votes do not outlive an epoch", async () => {
  assert.equal(await votes("AB", "A+C B A B+C"), "ABC");
  assert.equal(await votes("AB", "A+C B A B+C", 3), "AB");
});

test("a signer leaves half of the blocks to others, also when signers were added or removed", async () => {
  await assert.rejects(votes("AB", "A A"), /signed too recently/);
  await assert.rejects(votes("ABC", "A B B"), /signed too recently/);
  assert.equal(await votes("ABC", "A B A B"), "ABC");
  await assert.rejects(votes("ABCDE", "A B C B"), /signed too recently/);
  // The third signer makes the pause no longer, the fourth does.
  await assert.rejects(votes("ABC", "A+D B+D A"), /signed too recently/);
  assert.equal(await votes("ABCD", "A-D B-D C-D B A"), "ABC");
  assert.equal(await votes("A", "A A A"), "A");
});

test("settled is what more than half of the signers built on", async () => {
  const all = sorted(5);
  const genesis = cliqueGenesis(all);
  const rules = rulesFor(genesis);
  const made: Header[] = [genesis];
  for (const index of [0, 1, 2, 0, 1, 2, 3]) made.push(await nextClique(made.at(-1)!, all[index]!, all));
  const blocks = await followAll(made, rules);
  const settledAt = (count: number) => settledIn(blocks.slice(0, count)) + 1;
  // 3 of 5 must have signed at or above a block.
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map(settledAt), [0, 0, 0, 1, 2, 3, 4, 5]);
  // Also one that is alone, since the newest block's hash could be that of its twin.
  const only = cliqueGenesis([all[0]!]);
  const by = [only, await nextClique(only, all[0]!, [all[0]!])];
  const alone = await followAll([...by, await nextClique(by[1]!, all[0]!, [all[0]!])], rulesFor(only));
  assert.deepEqual([settledIn(alone.slice(0, 1)), settledIn(alone)], [-1, 0]);
  // Who was no signer of a block does not settle it.
  const two = sorted(4).slice(0, 2);
  const stranger: Hex = "0x00000000000000000000000000000000000000aa";
  const small = cliqueGenesis(two);
  const first = await nextClique(small, two[0]!, two);
  const second = await nextClique(first, two[1]!, two);
  const chain = await followAll([small, first, second], rulesFor(small));
  assert.equal(settledIn(chain), 0);
  assert.equal(settledIn(chain.map((block, index) => (index === 1 ? { ...block, signer: stranger } : block))), -1);
});
