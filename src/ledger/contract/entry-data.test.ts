import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { concat, keccak256 } from "viem";
import { testLines } from "../testing.ts";
import { hashChain, maxChunkBytes, maxPlainBytes, packLines, unpackLines } from "./entry-data.ts";
import { zeroHash } from "./identity.ts";

const altered = { code: "baseline-altered" };

test("lines come back as they were, in one piece or in many", () => {
  for (const lines of [["x"], ["", ""], ["ü \u0000", "\ufeffx"], testLines("small", 3), testLines("large", 3000)]) {
    const { chunks, links } = packLines(lines);
    assert.deepEqual(unpackLines(chunks), lines);
    assert.equal(links.length, chunks.length + 1);
    assert.equal(links.at(-1), zeroHash);
    assert.ok(chunks.every((chunk) => chunk.length > 0 && chunk.length <= maxChunkBytes));
  }
  assert.ok(packLines(testLines("large", 3000)).chunks.length > 1);
});

test("the hash chain is what the contract computes, and changes with every piece and their order", () => {
  const [a, b] = [randomBytes(10), randomBytes(20)];
  const last = keccak256(concat([keccak256(b), zeroHash]));
  assert.deepEqual(hashChain([a, b]), [keccak256(concat([keccak256(a), last])), last, zeroHash]);
  const heads = [[a, b], [b, a], [a], [b], [a, b, b], [Buffer.concat([a, b])]].map((chunks) => hashChain(chunks)[0]);
  assert.equal(new Set(heads).size, heads.length);
});

test("a stream cut off anywhere is refused", () => {
  const packed = Buffer.concat(packLines(testLines("cut", 2)).chunks);
  for (let length = 0; length < packed.length; length++) {
    assert.throws(() => unpackLines([packed.subarray(0, length)]), altered, `${length} bytes`);
  }
});

test("any altered bit is refused or gives other lines, never an unforeseen error", () => {
  const lines = testLines("flip", 2);
  const packed = Buffer.concat(packLines(lines).chunks);
  for (let bit = 0; bit < packed.length * 8; bit++) {
    const flipped = Buffer.from(packed);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    try {
      unpackLines([flipped]);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "baseline-altered");
    }
  }
});

test("what is not ended by a newline, or not UTF-8, is refused", () => {
  assert.throws(() => unpackLines([deflateSync("line")]), altered);
  assert.throws(() => unpackLines([deflateSync("")]), altered);
  assert.throws(() => unpackLines([deflateSync(Buffer.from([0xff, 0x0a]))]), altered);
  assert.throws(() => unpackLines([]), altered);
});

test("a decompression bomb stops at the bound", () => {
  const bomb = deflateSync(Buffer.alloc(maxPlainBytes + 1, "\n"));
  assert.ok(bomb.length < 200_000, "it fits into three pieces");
  assert.throws(() => unpackLines([bomb]), altered);
});

test("more than the registry takes is refused before anything is sent", () => {
  const line = randomBytes(1024 * 1024).toString("hex");
  assert.throws(() => packLines(Array.from({ length: 30 }, () => line + randomBytes(512 * 1024).toString("hex"))), {
    code: "baseline-too-large",
  });
});
