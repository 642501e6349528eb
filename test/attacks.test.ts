import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CORPUS, carryOut, type Entry, readCorpus } from "./attacks/corpus.ts";
import { Lab } from "./attacks/lab.ts";
import { attacksPage } from "./attacks/page.ts";
import { type Description, matchesObject } from "./attacks/readme.ts";

const entries = await readCorpus();
let lab: Lab;

before(async () => {
  lab = await Lab.open(CORPUS);
});
after(() => lab?.close());

async function problemsOf(entry: Entry, changes: Partial<Description> = {}): Promise<string[]> {
  const results = await carryOut(lab, { ...entry, description: { ...entry.description, ...changes } });
  assert.deepEqual(
    results.map(({ method }) => method),
    ["auto", "fallback"],
  );
  return results.flatMap(({ problems }) => problems);
}

function entry(name: string): Entry {
  return entries.find(({ description }) => description.name === name)!;
}

for (const one of entries.filter(({ attack }) => attack.quick))
  test(`${one.description.name} is ${one.description.outcome}`, async () => {
    assert.deepEqual(await problemsOf(one), []);
  });

test("with the gate in enforce a dropped program is not executed, and other attacks are found as without it", async (t) => {
  const enforcing = await Lab.open(CORPUS, "enforce");
  t.after(() => enforcing.close());
  for (const name of ["drop-and-execute", "anonymous-rwx"]) {
    const [result, ...others] = await carryOut(enforcing, entry(name));
    assert.deepEqual([result!.method, result!.problems, others], ["enforce", [], []]);
  }
  const wrong = { ...entry("anonymous-rwx").description, prevented: "/tmp/other" };
  const [result] = await carryOut(enforcing, { ...entry("anonymous-rwx"), description: wrong });
  assert.match(result!.problems.join(), /not refused: \/tmp\/other, but nothing.*it succeeded all the same/);
});

test("an attack with another outcome than its README says is a problem for every method", async () => {
  const [detected, missed] = [entry("anonymous-rwx"), entry("got-overwrite")];
  for (const [one, changes, problem] of [
    [detected, { outcome: "missed" }, /not expected: anonymous-code of \[anonymous\]/],
    [detected, { reason: "memfd-executable" }, /nothing says memfd-executable/],
    [detected, { object: "/usr/bin/python3" }, /nothing says anonymous-code of \/usr\/bin\/python3/],
    [missed, { outcome: "detected", reason: "code-modified" }, /nothing says code-modified/],
  ] as const) {
    const problems = await problemsOf(one, changes);
    assert.equal(problems.filter((text) => problem.test(text)).length, 2, problems.join("\n"));
  }
  const wrongProcess = {
    ...detected,
    attack: {
      act: async (site: Parameters<typeof detected.attack.act>[0]) => {
        await detected.attack.act(site);
        return process.pid;
      },
    },
  };
  assert.match((await problemsOf(wrongProcess)).join("\n"), /nothing says anonymous-code .* in process/);
  const failing = { ...detected, attack: { act: () => Promise.reject(new Error("out of order")) } };
  assert.equal((await problemsOf(failing)).filter((text) => /did not succeed: out of order/.test(text)).length, 2);
});

test("the page says what the READMEs say", () => {
  const page = readFileSync(join(CORPUS, "../../docs/attacks.md"), "utf8");
  assert.equal(page, attacksPage(entries.map(({ description }) => description)));
});

test("the star of an object stands for a part of a path", () => {
  assert.ok(matchesObject("/usr/lib/*/libm.so.6", "/usr/lib/x86_64-linux-gnu/libm.so.6"));
  assert.ok(!matchesObject("/usr/lib/*/libm.so.6", "/usr/lib/a/b/libm.so.6"));
  assert.ok(!matchesObject("/usr/lib/*/libm.so.6", "/usr/lib/a/libmxso.6"));
  assert.ok(matchesObject("[anonymous]", "[anonymous]"));
});
