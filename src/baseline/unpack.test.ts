import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { errorCode } from "../core/errors.ts";
import { compressionOf, unpack } from "./unpack.ts";

async function unpacked(bytes: Uint8Array, piece = 100_000): Promise<Buffer> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of unpack(compressionOf(bytes)!, pieces())) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const a = Buffer.alloc(300_000, "first");
const b = Buffer.from(Array.from({ length: 200_000 }, (_, at) => (at * at * 7) % 251));
/** RFC 8878 §3.1.2 */
const skippable = Buffer.from("502a4d1804000000aabbccdd", "hex");
const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: 0 } };

const forms: [string, Buffer][] = [
  ["gzip", gzipSync(Buffer.concat([a, b]))],
  ["several gzip members", Buffer.concat([gzipSync(a), gzipSync(Buffer.alloc(0)), gzipSync(b)])],
  ["zstd", zstdCompressSync(Buffer.concat([a, b]))],
  ["several zstd frames", Buffer.concat([zstdCompressSync(a), zstdCompressSync(Buffer.alloc(0)), zstdCompressSync(b)])],
  ["frames with checksums, without sizes", Buffer.concat([zstdCompressSync(a, checked), zstdCompressSync(b, checked)])],
  ["frames to be skipped", Buffer.concat([skippable, zstdCompressSync(a), skippable, zstdCompressSync(b), skippable])],
];

test("several members or frames in a row are one stream, however they come in", async () => {
  for (const [name, bytes] of forms)
    for (const piece of [1, 700, 100_000])
      assert.ok((await unpacked(bytes, piece)).equals(Buffer.concat([a, b])), `${name}, ${piece}`);
  assert.equal(compressionOf(Buffer.from("ustar")), null);
  assert.equal(compressionOf(Buffer.from([0x1f])), null);
});

test("truncated or with something behind, it is refused", async () => {
  for (const [name, bytes] of forms) {
    await assert.rejects(unpacked(bytes.subarray(0, -1)), { code: "image-malformed" }, name);
    await assert.rejects(unpacked(Buffer.concat([bytes, Buffer.from("more")])), { code: "image-malformed" }, name);
  }
});

test("changed bytes give other bytes or the one error, and never an end that does not come", async () => {
  const small = Buffer.from("some text of a layer".repeat(20));
  const originals = [
    gzipSync(small),
    zstdCompressSync(small, checked),
    Buffer.concat([skippable, zstdCompressSync(small)]),
  ];
  const changes = fc.array(fc.tuple(fc.nat(100), fc.nat(255)), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(fc.nat(2), changes, async (which, list) => {
      const bytes = Buffer.from(originals[which]!);
      for (const [at, value] of list) bytes[at % bytes.length] = value;
      if (compressionOf(bytes) === null) return;
      await unpacked(bytes).catch((error: unknown) => assert.equal(errorCode(error), "image-malformed"));
    }),
    { numRuns: 1000 },
  );
});

test("when it is given up, nothing reads from its source any more", async () => {
  for (const [name, bytes] of forms) {
    let reading = 0;
    const source: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        async next() {
          reading += 1;
          await new Promise(setImmediate);
          reading -= 1;
          return { done: false, value: bytes };
        },
      }),
    };
    for await (const _ of unpack(compressionOf(bytes)!, source)) break;
    assert.equal(reading, 0, name);
  }
});
