import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findBytes } from "./find-bytes.ts";

test("a text is found however the file comes in pieces, and only where it is", () => {
  const piece = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 6 });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const finder = findBytes("abba");
      for (const one of pieces) finder.update(Buffer.from(one));
      assert.equal(finder.found, pieces.join("").includes("abba"));
    }),
  );
});
