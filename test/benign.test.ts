import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CORPUS, type Entry, readCorpus } from "./benign/corpus.ts";
import { Lab } from "./benign/lab.ts";
import { benignPage } from "./benign/page.ts";

const entries = await readCorpus();
const quick = entries.filter(({ benign }) => benign.quick);
const SECONDS = 3;
let lab: Lab;

before(async () => {
  lab = await Lab.open();
});
after(() => lab?.close());

async function problemsOf(entry: Entry): Promise<string[]> {
  const results = await lab.run(entry, SECONDS);
  assert.deepEqual(
    results.map(({ method }) => method),
    ["auto", "fallback"],
  );
  return results.flatMap(({ problems }) => problems);
}

test("the quick half raises no false alarm", async () => {
  const found = await Promise.all(quick.map(async (entry) => [entry.description.name, await problemsOf(entry)]));
  assert.deepEqual(
    found,
    quick.map(({ description }) => [description.name, []]),
  );
});

test("with the gate in enforce nothing is refused that is the image's, and what is refused must be earned", async (t) => {
  const enforcing = await Lab.open("enforce");
  t.after(() => enforcing.close());
  const { description, benign } = quick[0]!;
  const foreign = "cp /usr/bin/sleep /tmp/foreign; printf x >>/tmp/foreign; /tmp/foreign 0; echo";
  const work: typeof benign.work = async (site) => (await site.exec("/bin/sh", "-c", foreign)).length;
  const refusal = { reason: "exec-denied", object: "/tmp/foreign", says: "" };
  const found = await Promise.all([
    ...quick.map((entry) => enforcing.run(entry, SECONDS)),
    enforcing.run({ description, benign: { ...benign, work } }, SECONDS),
    enforcing.run({ description: { ...description, enforced: [refusal] }, benign: { ...benign, work } }, SECONDS),
    enforcing.run({ description: { ...description, enforced: [refusal] }, benign }, SECONDS),
  ]);
  const results = found.flat();
  assert.ok(results.every(({ method }) => method === "enforce"));
  assert.deepEqual(
    results.map(({ problems }) => problems),
    [
      ...quick.map(() => []),
      ["not earned: exec-denied of /tmp/foreign"],
      [],
      ["nothing says exec-denied of /tmp/foreign"],
    ],
  );
});

test("what is found and not earned, earned and not found, or not at work is a problem for every method", async () => {
  const { description, benign } = quick[0]!;
  const earned = [{ reason: "anonymous-code", object: "[anonymous]", says: "" }];
  const foreign =
    "cp /usr/bin/sleep /tmp/foreign && printf x >>/tmp/foreign && chmod +x /tmp/foreign && /tmp/foreign 0.1; echo";
  const [idle, found, broken] = await Promise.all([
    problemsOf({ description: { ...description, earned }, benign: { ...benign, work: async () => 0 } }),
    problemsOf({
      description,
      benign: { ...benign, work: async (site) => (await site.exec("/bin/sh", "-c", foreign)).length },
    }),
    problemsOf({ description, benign: { ...benign, work: () => Promise.reject(new Error("no")) } }),
  ]);
  const expected = ["it did nothing", "nothing says anonymous-code of [anonymous]"];
  assert.deepEqual(idle, [...expected, ...expected]);
  for (const text of found) assert.match(text, /^not earned: unknown-executable of \/tmp\/foreign: /);
  assert.ok(found.length >= 2);
  assert.deepEqual(broken, ["the software did not work: no", "the software did not work: no"]);
});

test("the page says what the READMEs say", () => {
  const page = readFileSync(join(CORPUS, "../../docs/benign.md"), "utf8");
  assert.equal(page, benignPage(entries.map(({ description }) => description)));
});
