import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareBaselines, isSame } from "./compare.ts";
import { formatEntry, formatHeader, parseBaseline } from "./format.ts";
import type { BaselineHeader } from "./lines.ts";

function baseline(files: Readonly<Record<string, string>>, header: Partial<BaselineHeader> = {}) {
  const names = Object.keys(files).toSorted();
  const plain = { name: "web", architecture: "amd64", ports: [], entrypoint: [], jit: [] };
  return parseBaseline([
    formatHeader({ identity: `sha256:${"0".repeat(64)}`, ...plain, entries: names.length, ...header }),
    ...names.map((path) =>
      formatEntry({ path, kind: "script", size: 1n, sha256: files[path]!.repeat(64), segments: [] }),
    ),
  ]);
}

test("each member of the header counts, is under the root, and is told as it was and is", () => {
  const changes: Partial<BaselineHeader> = {
    identity: `sha256:${"1".repeat(64)}`,
    name: "other",
    architecture: "arm64",
    ports: ["tcp/80"],
    entrypoint: ["/a"],
    jit: ["/a"],
    loader: { LD_PRELOAD: "/x.so" },
    allowed: ["a".repeat(64)],
  };
  const before = baseline({ "/a": "1" });
  for (const [member, value] of Object.entries(changes)) {
    const after = baseline({ "/a": "1" }, { [member]: value });
    const found = compareBaselines(before, after);
    const old = before.header[member as keyof BaselineHeader] ?? null;
    assert.deepEqual(found.header, [{ member, before: old, after: value }], member);
    assert.ok(!isSame(found));
    assert.notDeepEqual(after.root, before.root, member);
  }
  // The number of entries is told by the entries.
  const header = { ...baseline({}).header, ...changes };
  const known = Object.keys(JSON.parse(formatHeader(header)) as object);
  assert.deepEqual(known.toSorted(), [...Object.keys(changes), "format", "entries"].toSorted());
});

test("added, removed and changed are what sets say, and apply backwards", () => {
  const name = fc.constantFrom("/a", "/b", "/c", "/d/e", "/d/f");
  const files = fc.dictionary(name, fc.constantFrom("1", "2", "3"));
  fc.assert(
    fc.property(files, files, (old, now) => {
      const [before, after] = [baseline(old), baseline(now)];
      const { added, removed, changed, same } = compareBaselines(before, after);
      const path = (entry: { path: unknown }): unknown => entry.path;
      assert.deepEqual(
        added.map(path),
        Object.keys(now)
          .filter((one) => !(one in old))
          .toSorted(),
      );
      assert.deepEqual(
        removed.map(path),
        Object.keys(old)
          .filter((one) => !(one in now))
          .toSorted(),
      );
      assert.deepEqual(
        changed.map((pair) => path(pair.after)),
        Object.keys(now)
          .filter((one) => one in old && old[one] !== now[one])
          .toSorted(),
      );
      assert.equal(same + added.length + changed.length, after.entries.length);
      const back = compareBaselines(after, before);
      assert.deepEqual([back.added, back.removed], [removed, added]);
      assert.equal(
        isSame(compareBaselines(before, after)),
        JSON.stringify(before.lines) === JSON.stringify(after.lines),
      );
    }),
  );
});
