import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytesToHex, type Hex, keccak256, toRlp } from "viem";
import { emptyTrieRoot, verifyTrieProof } from "./trie-proof.ts";

type Node = (Hex | Node)[];
type Entries = readonly (readonly [digits: string, value: Hex])[];

const refused = { code: "ledger-unverified" };

/** A trie in the plainest way, from the end of appendix D: each node as its RLP's items. */
function build(entries: Entries): Node {
  if (entries.length === 1) return [path(entries[0]![0], true), entries[0]![1]];
  const digits = entries.map(([key]) => key);
  let shared = 0;
  while (digits.every((key) => key[shared] === digits[0]![shared])) shared++;
  const below = entries.map(([key, value]) => [key.slice(shared), value] as const);
  if (shared > 0) return [path(digits[0]!.slice(0, shared), false), reference(build(below))];
  const branch: Node = [];
  for (const digit of "0123456789abcdef") {
    const under = below.filter(([key]) => key[0] === digit).map(([key, value]) => [key.slice(1), value] as const);
    branch.push(under.length === 0 ? "0x" : reference(build(under)));
  }
  return [...branch, "0x"];
}

function path(digits: string, isLeaf: boolean): Hex {
  const kind = isLeaf ? 2 : 0;
  return `0x${digits.length % 2 === 0 ? `${kind}0` : kind + 1}${digits}`;
}

function reference(node: Node): Hex | Node {
  const rlp = toRlp(node);
  return rlp.length < 2 + 2 * 32 ? node : keccak256(rlp);
}

/** The root, and for a key the nodes that lead to it or as near as there are. */
function trie(entries: Entries) {
  const root = build(entries);
  const prove = (key: string): Hex[] => {
    const nodes: Hex[] = [];
    const walk = (found: Node, rest: string, within: Entries, isEmbedded: boolean): void => {
      if (!isEmbedded) nodes.push(toRlp(found));
      if (within.length === 1) return;
      const step = found.length === 17 ? 1 : shared(within);
      const under = within.filter(([other]) => other.startsWith(rest.slice(0, step)));
      const child = found.length === 17 ? found[Number.parseInt(rest[0]!, 16)]! : found[1]!;
      if (under.length === 0) return;
      const deeper = under.map(([other, value]) => [other.slice(step), value] as const);
      walk(build(deeper), rest.slice(step), deeper, typeof child !== "string");
    };
    walk(root, key, entries, false);
    return nodes;
  };
  return { root: keccak256(toRlp(root)), prove };
}

function shared(entries: Entries): number {
  let length = 0;
  while (entries.every(([key]) => key[length] === entries[0]![0][length])) length++;
  return length;
}

const verify = (root: Hex, key: string, proof: readonly Hex[]): Hex | null => {
  const value = verifyTrieProof(root, `0x${key}`, proof);
  return value === null ? null : bytesToHex(value);
};

/** Keys that differ late have deep paths, and short nodes that stand in their parents. */
const keys = fc.oneof(
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytesToHex(bytes).slice(2)),
  fc.tuple(fc.constantFrom("0", "a", "f0"), fc.nat(5000)).map(([fill, end]) => {
    const digits = end.toString(16);
    return fill.repeat(64).slice(0, 64 - digits.length) + digits;
  }),
);
const values = fc.uint8Array({ minLength: 1, maxLength: 110 }).map((bytes) => bytesToHex(bytes));

test("what a trie holds is proved, and what it does not hold, too", () => {
  fc.assert(
    fc.property(fc.dictionary(keys, values, { minKeys: 1, maxKeys: 40 }), keys, (held, other) => {
      const entries = Object.entries(held);
      const { root, prove } = trie(entries);
      for (const [key, value] of entries) assert.equal(verify(root, key, prove(key)), value);
      assert.equal(verify(root, other, prove(other)), held[other] ?? null);
    }),
    { numRuns: 60 },
  );
});

test("short nodes in their parents are followed", () => {
  const entries: Entries = [
    [`${"7".repeat(62)}01`, "0x01"],
    [`${"7".repeat(62)}02`, "0x02"],
    [`${"7".repeat(62)}12`, "0x03"],
  ];
  const { root, prove } = trie(entries);
  const proof = prove(entries[1]![0]);
  assert.equal(proof.length, 2, "the extension and the first branch only");
  assert.equal(verify(root, entries[1]![0], proof), "0x02");
  assert.equal(verify(root, `${"7".repeat(62)}03`, proof), null);
  assert.equal(verify(root, "8".repeat(64), [proof[0]!]), null);
});

test("nothing is in the empty trie", () => {
  assert.equal(emptyTrieRoot, keccak256(toRlp("0x")));
  assert.equal(verify(emptyTrieRoot, "1".repeat(64), []), null);
  assert.equal(verify(emptyTrieRoot, "1".repeat(64), ["0x80"]), null);
  assert.throws(() => verify(emptyTrieRoot, "1".repeat(64), ["0x"]), refused);
});

test("a proof for another key, root or trie, cut, doubled, re-ordered or changed in any byte is refused", () => {
  const entries: Entries = Array.from({ length: 40 }, (_, index) => [
    keccak256(`0x${(index + 16).toString(16)}`).slice(2),
    `0x${"5a".repeat(1 + index)}`,
  ]);
  const { root, prove } = trie(entries);
  const [key] = entries[7]!;
  const proof = prove(key);
  assert.ok(proof.length > 1);
  assert.throws(() => verify(keccak256("0x00"), key, proof), refused);
  assert.throws(() => verify(root, key.slice(2), proof), refused);
  assert.throws(() => verify(root, key, [...proof, proof.at(-1)!]), refused);
  assert.throws(() => verify(root, key, proof.toReversed()), refused);
  for (let length = 0; length < proof.length; length++)
    assert.throws(() => verify(root, key, proof.slice(0, length)), refused);
  proof.forEach((node, index) => {
    for (let at = 2; at < node.length; at += 2) {
      const byte = (Number.parseInt(node.slice(at, at + 2), 16) ^ 1).toString(16).padStart(2, "0");
      const changed: Hex = `0x${node.slice(2, at)}${byte}${node.slice(at + 2)}`;
      assert.throws(() => verify(root, key, proof.with(index, changed)), refused);
      assert.throws(() => verify(root, key, proof.with(index, node.slice(0, at) as Hex)), refused);
    }
  });
});

test("nodes of no known form are refused, although their hashes are right", () => {
  const key = "1".repeat(64);
  const leaf = path(key, true);
  const hash = keccak256("0x00");
  const forms: (Hex | Node)[] = [
    "0x1234",
    [],
    ["0x20"],
    [leaf, "0x01", "0x02"],
    [leaf, "0x"],
    [leaf, ["0x01"]],
    [[leaf], "0x01"],
    ["0x", "0x01"],
    [`0x4${"1".repeat(63)}`, "0x01"],
    [`0x21${"1".repeat(64)}`, "0x01"],
    [path(key.slice(1), true), "0x01"],
    [path(`${key}1`, true), "0x01"],
    [path("", false), hash],
    [path(key, false), hash],
    [path("11", false), "0x"],
    [path("11", false), "0x1234"],
    [...Array.from({ length: 16 }, () => hash), "0x01"],
    [...Array.from({ length: 16 }, (): Hex => "0x12"), "0x"],
    Array.from({ length: 18 }, () => hash),
  ];
  for (const form of forms) {
    const rlp = toRlp(form);
    assert.throws(() => verify(keccak256(rlp), key, [rlp]), refused, JSON.stringify(form));
  }
  for (const rlp of ["0xc1", "0xf8", "0xc20101ff", "0x", "0xzz", "0xf", `0x${"c1".repeat(1024)}`] as Hex[])
    assert.throws(() => verify(keccak256(rlp.includes("z") ? "0x" : rlp), key, [rlp]), refused, rlp);
});

test("long proofs and long nodes cost nothing", () => {
  const key = "1".repeat(64);
  assert.throws(
    () =>
      verify(
        keccak256("0x"),
        key,
        Array.from({ length: 66 }, (): Hex => "0x80"),
      ),
    refused,
  );
  const long = toRlp([path(key, true), `0x${"11".repeat(2000)}`]);
  assert.throws(() => verify(keccak256(long), key, [long]), refused);
  let deep: Node = [];
  for (let depth = 0; depth < 600; depth++) deep = [deep];
  const rlp = toRlp(deep);
  assert.throws(() => verify(keccak256(rlp), key, [rlp]), refused);
});
