import assert from "node:assert/strict";
import { test } from "node:test";
import { KillSuite } from "./kills/suite.ts";
import { temporaryFolder } from "./pims.ts";

// A thousand of them are `npm run test:kills`.
test("killed at random, log, register and verifier agree at each start", async (t) => {
  const problems: string[] = [];
  const suite = new KillSuite(temporaryFolder(t), (problem) => problems.push(problem));
  await suite.run(12, new AbortController().signal);
  assert.deepEqual(problems, []);
  assert.equal(suite.counts.passed, 12);
  assert.ok(suite.counts.events > 0 && suite.counts.proved > 0, JSON.stringify(suite.counts));
});
