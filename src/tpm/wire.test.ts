import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WireReader, WireWriter } from "./wire.ts";

test("every type goes both ways, big-endian", () => {
  fc.assert(
    fc.property(
      fc.nat(0xff),
      fc.nat(0xffff),
      fc.nat(0xffff_ffff),
      fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
      fc.uint8Array({ maxLength: 40 }),
      (a, b, c, d, e) => {
        const reader = new WireReader(new WireWriter().u8(a).u16(b).u32(c).u64(d).sized(e).done(), "test");
        assert.deepEqual([reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.sized(40)], [a, b, c, d, e]);
        reader.end();
      },
    ),
  );
  const bytes = new WireWriter().u16(0x8001).u32(0xff544347).u64(0x0123456789abcdefn).done();
  assert.equal(Buffer.from(bytes).toString("hex"), "8001ff5443470123456789abcdef");
});

test("a 64-bit number keeps its lowest bits", () => {
  const bytes = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd]);
  assert.equal(new WireReader(bytes, "test").u64(), 0xffff_ffff_ffff_fffdn);
});

test("firmware's logs are read little-endian", () => {
  const reader = new WireReader(new Uint8Array([1, 0, 2, 0, 0, 0]), "test", { littleEndian: true });
  assert.deepEqual([reader.u16(), reader.u32()], [1, 2]);
});

test("what does not fit is malformed, never null", () => {
  const of = (...bytes: number[]): WireReader => new WireReader(new Uint8Array(bytes), "test");
  const malformed = { code: "tpm-malformed" };
  assert.throws(() => of().u8(), malformed);
  assert.throws(() => of(1).u16(), malformed);
  assert.throws(() => of(1, 2, 3).u32(), malformed);
  assert.throws(() => of(1, 2, 3, 4, 5, 6, 7).u64(), malformed);
  assert.throws(() => of(0, 2, 1).sized(10), malformed);
  assert.throws(() => of(0, 2, 1, 1).sized(1), malformed);
  assert.throws(() => of(0xff, 0xff, 0xff, 0xff).count(16), malformed);
  assert.throws(() => of(1).end(), malformed);
});

test("a number is never cut to fit", () => {
  for (const write of [
    () => new WireWriter().u8(256),
    () => new WireWriter().u16(0x1_0000),
    () => new WireWriter().u32(-1),
    () => new WireWriter().u32(1.5),
    () => new WireWriter().u64(1n << 64n),
    () => new WireWriter().sized(new Uint8Array(0x1_0000)),
  ])
    assert.throws(write, { code: "tpm-malformed" });
});
