import assert from "node:assert/strict";
import { test } from "node:test";
import { formatEntry, formatHeader, parseBaseline } from "../baseline/format.ts";
import { referenceValues } from "./reference-values.ts";

test("code that is allowed besides the image's is known by its digest, and at no path", () => {
  const [listed, besides] = ["a".repeat(64), "b".repeat(64)];
  const header = {
    identity: `sha256:${"0".repeat(64)}`,
    name: "web",
    architecture: "amd64",
    ports: [],
    entrypoint: [],
  };
  const entry = formatEntry({ path: "/a.sh", kind: "script", size: 1n, sha256: listed, segments: [] });
  const reference = (allowed?: readonly string[]) =>
    referenceValues(parseBaseline([formatHeader({ ...header, jit: [], allowed, entries: 1 }), entry]));
  assert.deepEqual([reference().hasDigest(listed), reference().hasDigest(besides)], [true, false]);
  assert.deepEqual([reference([besides]).hasDigest(listed), reference([besides]).hasDigest(besides)], [true, true]);
  assert.equal(reference([besides]).hasPath("/b.sh"), false);
  // What may run is not thereby what may compile or be preloaded.
  assert.equal(reference([besides]).mayCompile([besides]), false);
  assert.equal(reference([besides]).mayBeDisplaced(besides), false);
});
