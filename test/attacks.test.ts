import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CORPUS, carryOut, readCorpus } from "./attacks/corpus.ts";
import { Lab } from "./attacks/lab.ts";

// The quick half of the corpus; `npm run test:attacks` carries out all of it.
const entries = (await readCorpus()).filter(({ attack }) => attack.quick === true);
let lab: Lab | undefined;

before(async () => {
  lab = await Lab.open(CORPUS);
});
after(() => lab?.close());

test("the quick half is not empty", () => assert.ok(entries.length >= 8));

for (const entry of entries)
  test(`attack: ${entry.description.name}`, async () => {
    for (const { method, problems } of await carryOut(lab!, entry)) assert.deepEqual(problems, [], method);
  });
