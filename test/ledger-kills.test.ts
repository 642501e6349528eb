import assert from "node:assert/strict";
import { test } from "node:test";
import { LedgerKillSuite } from "./kills/ledger-suite.ts";
import { temporaryFolder } from "./pims.ts";

// Two hundred of them are `npm run test:ledger-kills`.
test("killed at random, the embedded chain has lost nothing that it acknowledged or showed", async (t) => {
  const problems: string[] = [];
  const suite = new LedgerKillSuite(temporaryFolder(t), (problem) => problems.push(problem));
  await suite.run(4, new AbortController().signal);
  assert.deepEqual(problems, []);
  assert.equal(suite.counts.passed, 4);
  assert.ok(suite.counts.acknowledged > 0, JSON.stringify(suite.counts));
});
