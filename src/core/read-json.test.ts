import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { exactObject, readJson } from "./read-json.ts";

const read = (text: string) => readJson(Buffer.from(text));

test("a key that an object has twice is wrong, however it is written and however deep", () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1 , "a"\n:2}',
    '{"a":1,"\\u0061":2}',
    '[{"b":[{"x":{"a":{},"b":"\\\\","a":[]}}]}]',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
    '{"\\"":1,"\\"":2}',
  ]) {
    const found = read(text);
    assert.ok("wrong" in found && /^has the key ".*" twice/.test(found.wrong), text);
  }
  for (const text of ['{"a":"a","b":{"a":"b"},"c":[{"a":1},{"a":1}]}', '["a","a"]', '{"a":"\\"a\\":","A":1}', '"a"'])
    assert.deepEqual(read(text), { value: JSON.parse(text) }, text);
  for (const text of ["", "{", "\ufeff{}", '{"a":1,}', "nope"]) assert.deepEqual(read(text), { wrong: "is not JSON" });
  assert.deepEqual(readJson(Uint8Array.of(0x22, 0xff, 0x22)), { wrong: "is not JSON" });
  for (const [open, close] of [
    ["[", "]"],
    ['{"a":', "}"],
  ] as const)
    assert.deepEqual(read(`${open.repeat(100_000)}1${close.repeat(100_000)}`), { wrong: "is nested too deeply" });
});

test("what was written without doubt is read as it was", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => assert.deepEqual(read(text), { value: JSON.parse(text) })),
    { numRuns: 300 },
  );
});

test("a key that differs from a wanted one only in case is wrong, any other is passed over", () => {
  const shape = exactObject({ keys: z.number().optional(), b: exactObject({ c: z.number() }).nullish() });
  assert.deepEqual(shape.parse({ keys: 1, b: { c: 2, d: 3 }, e: 4 }), { keys: 1, b: { c: 2 } });
  assert.deepEqual(shape.parse({ b: null }), { b: null });
  for (const value of [
    { Keys: 1 },
    { keys: 1, KEYS: 2 },
    { "\u212aeys": 1 },
    { "key\u017f": 1 },
    { b: { c: 1, C: 1 } },
    null,
    [],
  ])
    assert.equal(shape.safeParse(value).success, false, JSON.stringify(value));
});
