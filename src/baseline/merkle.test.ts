import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, toHex } from "../core/bytes.ts";
import { inclusionProof, isIncluded, merkleRoot } from "./merkle.ts";

/** RFC 9162 §2.1.1 word for word, to compare with. */
function mth(leaves: readonly Uint8Array[]): Buffer {
  const hash = (...parts: Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
  if (leaves.length === 0) return hash();
  if (leaves.length === 1) return hash(Buffer.of(0), leaves[0]!);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return hash(Buffer.of(1), mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}

// The leaves and tree heads that the tests of Certificate Transparency's reference implementations share.
const leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const roots = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

test("the tree heads that Certificate Transparency's implementations agree on", () => {
  for (const [size, root] of roots.entries()) {
    assert.equal(toHex(merkleRoot(leaves.slice(0, size).map(fromHex))), root, `${size} leaves`);
  }
});

test("the tree is the RFC's recursive definition at every size", () => {
  const many = Array.from({ length: 130 }, (_, index) => Buffer.from(`leaf ${index}`));
  for (let size = 0; size <= many.length; size++) {
    assert.equal(toHex(merkleRoot(many.slice(0, size))), toHex(mth(many.slice(0, size))), `${size} leaves`);
  }
});

const someLeaves = fc.array(fc.uint8Array({ maxLength: 8 }), { minLength: 1, maxLength: 40 });

test("every leaf is proved, and no other leaf, place, size or root", () => {
  fc.assert(
    fc.property(someLeaves, (tree) => {
      const root = merkleRoot(tree);
      const size = tree.length;
      for (const [index, leaf] of tree.entries()) {
        const claim = { leaf, index, size, proof: inclusionProof(tree, index), root };
        assert.ok(isIncluded(claim));
        assert.ok(!isIncluded({ ...claim, leaf: Buffer.concat([leaf, Buffer.of(0)]) }));
        assert.ok(!isIncluded({ ...claim, root: merkleRoot([...tree, leaf]) }));
        assert.ok(!isIncluded({ ...claim, proof: [...claim.proof, root] }));
        assert.ok(!isIncluded({ ...claim, index: size }));
        if (size > 1) {
          assert.ok(!isIncluded({ ...claim, proof: claim.proof.slice(1) }));
          assert.ok(!isIncluded({ ...claim, proof: claim.proof.with(0, new Uint8Array(32)) }));
          assert.ok(!isIncluded({ ...claim, proof: claim.proof.with(0, new Uint8Array(31)) }));
        }
      }
    }),
    { numRuns: 50 },
  );
});

test("an inner node does not pass for a leaf", () => {
  const [a, b] = [Buffer.from("a"), Buffer.from("b")];
  const inner = Buffer.concat([merkleRoot([a]), merkleRoot([b])]);
  assert.notEqual(toHex(merkleRoot([inner])), toHex(merkleRoot([a, b])));
});

test("a claim with nonsense numbers or an endless proof is refused at once", () => {
  const claim = { leaf: Buffer.from("a"), index: 0, size: 1, proof: [], root: merkleRoot([Buffer.from("a")]) };
  assert.ok(isIncluded(claim));
  for (const index of [-1, 0.5, Number.NaN, 2 ** 53]) assert.ok(!isIncluded({ ...claim, index }));
  for (const size of [0, -1, Number.POSITIVE_INFINITY, Number.NaN]) assert.ok(!isIncluded({ ...claim, size }));
  const endless = new Array<Uint8Array>(1_000_000).fill(new Uint8Array(32));
  assert.ok(!isIncluded({ ...claim, size: Number.MAX_SAFE_INTEGER, proof: endless }));
});
