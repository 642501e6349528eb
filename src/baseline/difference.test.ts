import assert from "node:assert/strict";
import { test } from "node:test";
import { differencesFrom } from "./difference.ts";
import { formatEntry, formatHeader, parseBaseline } from "./format.ts";
import type { BaselineHeader } from "./lines.ts";

function baseline(header: Partial<BaselineHeader>, files: Record<string, string>) {
  const names = Object.keys(files).toSorted();
  return parseBaseline([
    formatHeader({
      identity: `sha256:${"0".repeat(64)}`,
      name: "web",
      architecture: "amd64",
      ports: [],
      entrypoint: [],
      jit: [],
      entries: names.length,
      ...header,
    }),
    ...names.map((path) =>
      formatEntry({ path, kind: "script", size: 1n, sha256: files[path]!.repeat(64), segments: [] }),
    ),
  ]);
}

test("a baseline under another name is the same one", () => {
  const files = { "/a": "1", "/b": "2" };
  assert.deepEqual(differencesFrom(baseline({}, files), baseline({ name: "nginx" }, files)), []);
});

test("each other difference is said, by path", () => {
  const mine = baseline({}, { "/a": "1", "/b": "2", "/c": "3" });
  assert.deepEqual(differencesFrom(mine, baseline({}, { "/b": "9", "/c": "3", "/x": "1", "/y": "1" })), [
    "2 files more: /x and 1 more",
    "a file less: /a",
    "a file with other content: /b",
  ]);
  const other = { ports: ["tcp/80"], jit: ["/a"], architecture: "arm64", entrypoint: ["/c"] };
  assert.deepEqual(differencesFrom(mine, baseline(other, { "/a": "1", "/b": "2", "/c": "3" })), [
    "the architecture is arm64 and not amd64",
    'the list of ports is ["tcp/80"] and not []',
    'the entry point is ["/c"] and not []',
    'the just-in-time allowance is ["/a"] and not []',
  ]);
  const [image] = differencesFrom(mine, baseline({ identity: `sha256:${"1".repeat(64)}` }, {}));
  assert.match(image!, /^the image is sha256:1+ and not sha256:0+$/);
});
