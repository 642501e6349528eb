// The network's own run takes minutes; what it does not know it says at once.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

test("a part that the network's run does not have is a usage error, not a run without failures", () => {
  const run = join(import.meta.dirname, "network/run.ts");
  for (const words of [["garbage"], ["tests", "garbage"], [""]]) {
    const ended = spawnSync(process.execPath, [run, ...words], { encoding: "utf8", timeout: 30_000 });
    assert.equal(ended.status, 1, ended.stdout);
    assert.match(ended.stderr, /usage: npm run test:network \[-- tests \| scenarios\]/);
  }
});
