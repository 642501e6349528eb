// The verifier's copies of baselines, against a real chain: none is believed that does not lead to the chain's root.
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, type TestContext, test } from "node:test";
import { lookUpBaseline } from "../attest/reference-values.ts";
import { temporaryFolder } from "../attest/testing.ts";
import type { BaselineLookup } from "../attest/verdict.ts";
import { sha256Hex } from "../core/digest.ts";
import { BaselineCache } from "../ledger/baseline-cache.ts";
import { revokeBaseline } from "../ledger/revoke.ts";
import { ending, startTestLedger, type TestLedger, testActions, testIdentity, testLines } from "../ledger/testing.ts";
import { Store } from "./store.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;

before(async () => {
  ledger = await startTestLedger(file);
  const actions = testActions(ledger.place);
  const { id } = await actions.propose(ledger.publishers[0], testLines("web", 50));
  await actions.approve(ledger.publishers[1], id);
  await actions.propose(ledger.publishers[0], testLines("proposed", 3));
});

/** A cache over a database file, as the verifier has it, whose clock the test moves. */
async function openCache(t: TestContext) {
  const path = join(await temporaryFolder(t), "verifier.sqlite");
  const store = Store.open(path);
  t.after(() => store.close());
  const clock = { ms: 0, now: () => 0, monotonicMs: () => clock.ms };
  const open = () => new BaselineCache(ledger.place, store.baselines(), clock);
  let cache = open();
  return {
    path,
    store,
    clock,
    lookUp: (name: string): Promise<BaselineLookup> => lookUpBaseline(cache, testIdentity(name)),
    restart: () => {
      cache = open();
    },
  };
}

const reasonOf = (lookup: BaselineLookup) => (lookup.found ? "found" : lookup.reason);

function alter(path: string, sql: string): void {
  const database = new DatabaseSync(path, { timeout: 5000 });
  database.exec(sql);
  database.close();
}

test("an approved baseline is found with its values; one that only one has signed, or nobody, is none", async (t) => {
  const { lookUp, store } = await openCache(t);
  const lookup = await lookUp("web");
  assert.ok(lookup.found);
  const { reference } = lookup;
  assert.equal(reference.hasDigest(sha256Hex("file 7")), true);
  assert.equal(reference.hasDigest(sha256Hex("file 50")), false);
  assert.equal(reference.hasPath("/usr/lib/lib000049.so"), true);
  assert.equal(reference.hasPath({ hex: Buffer.from("/usr/lib/lib000049.so").toString("hex") }), true);
  assert.equal(reference.hasPath("/usr/lib/lib000050.so"), false);
  assert.equal(reference.mayCompile([sha256Hex("node")]), false);
  assert.equal(reasonOf(await lookUp("proposed")), "baseline-unapproved");
  assert.equal(reasonOf(await lookUp("nobody's")), "no-baseline");
  assert.deepEqual(store.baseline(testIdentity("web"))?.lines, testLines("web", 50));
  assert.equal(store.baseline(testIdentity("proposed")), null);
});

const alterations: readonly [string, string][] = [
  [
    "another digest of a file",
    `UPDATE baselines SET lines = replace(lines, '${sha256Hex("file 7")}', '${"d".repeat(64)}')`,
  ],
  ["another path", "UPDATE baselines SET lines = replace(lines, 'lib000007', 'lib000xxx')"],
  ["one entry too few", `UPDATE baselines SET lines = substr(lines, 1, length(lines) - 200)`],
  ["one entry too many", "UPDATE baselines SET lines = lines || char(10) || '{}'"],
  ["nothing at all", "UPDATE baselines SET lines = ''"],
];

for (const [what, sql] of alterations)
  test(`a copy with ${what} is baseline-altered at the next look, and then the chain's own takes its place`, async (t) => {
    const { path, lookUp, clock } = await openCache(t);
    assert.equal(reasonOf(await lookUp("web")), "found");
    alter(path, sql);
    const altered = await lookUp("web");
    assert.ok(!altered.found && altered.reason === "baseline-altered");
    assert.match(altered.text, /not what the ledger's root says/);
    assert.equal(reasonOf(await lookUp("web")), "baseline-altered", "it is not gone with one look");
    clock.ms += 10_000;
    assert.equal(reasonOf(await lookUp("web")), "found");
  });

test("a copy that was altered while the verifier did not run is noticed, too", async (t) => {
  const { path, lookUp, restart } = await openCache(t);
  assert.equal(reasonOf(await lookUp("web")), "found");
  alter(path, alterations[0]![1]);
  restart();
  assert.equal(reasonOf(await lookUp("web")), "baseline-altered");
});

test("a copy under another image's name, or with a root of its own, is not taken for the image's", async (t) => {
  const { path, lookUp, restart } = await openCache(t);
  await lookUp("web");
  alter(path, `UPDATE baselines SET root = '${"0".repeat(64)}', lines = replace(lines, 'lib000007', 'lib000xxx')`);
  restart();
  const lookup = await lookUp("web");
  assert.ok(lookup.found && lookup.reference.hasPath("/usr/lib/lib000007.so"));
  alter(path, `UPDATE baselines SET identity = '${testIdentity("proposed")}'`);
  restart();
  assert.equal(reasonOf(await lookUp("proposed")), "baseline-unapproved");
});

test("a revoked baseline is none within the time that the chain's word counts, though a copy of it is there", async (t) => {
  const { lookUp, clock, store } = await openCache(t);
  const actions = testActions(ledger.place);
  const [a, b] = ledger.publishers;
  const { id } = await actions.propose(a, testLines("revoked", 3));
  await actions.approve(b, id);
  assert.equal(reasonOf(await lookUp("revoked")), "found");
  await revokeBaseline({ ...ledger.place, key: b, id });
  clock.ms += 2000;
  assert.equal(reasonOf(await lookUp("revoked")), "baseline-revoked");
  assert.notEqual(store.baseline(testIdentity("revoked")), null);
});
