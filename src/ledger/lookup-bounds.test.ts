// What a lookup may cost whoever waits for a verdict, and the chain.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BaselineCache } from "./baseline-cache.ts";
import { ending, startTestLedger, type TestLedger, testActions, testIdentity, testLines } from "./testing.ts";
import { lieAbout } from "./testing-endpoints.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
  const actions = testActions(ledger.place);
  const [a, b] = ledger.publishers;
  const { id } = await actions.propose(a, testLines("web", 20));
  await actions.approve(b, id);
});

/** A cache whose clock the test moves, on an endpoint whose entries `entries` makes wait or changes. */
async function cacheOn(entries: (logs: { data: string }[]) => unknown) {
  let asked = 0;
  const url = await lieAbout(file, ledger.chain.url, (method, result) => {
    if (method !== "eth_getLogs") return result;
    asked++;
    return entries(result as { data: string }[]);
  });
  const clock = { ms: 0, now: () => Date.now(), monotonicMs: () => clock.ms };
  const cache = new BaselineCache({ ...ledger.place, url }, undefined, clock);
  return { clock, asked: () => asked, lookUp: (name = "web") => cache.lookUp(testIdentity(name)) };
}

test("whoever waits for a verdict waits ten seconds for late entries at most", { timeout: 60_000 }, async () => {
  const late = await cacheOn((logs) => sleep(10_500, logs));
  const slow = await late.lookUp();
  assert.ok(slow.status === "unverified" && /within 10 s/.test(slow.text), JSON.stringify(slow));
});

test("entries that are not those of the root are asked for once in ten seconds, however often it is looked", async () => {
  const altered = await cacheOn((logs) => logs.map((log) => ({ ...log, data: log.data.replace(/..(?=0*$)/, "77") })));
  for (let count = 0; count < 5; count++) {
    const state = await altered.lookUp();
    assert.deepEqual([state.status, "isApproved" in state && state.isApproved], ["altered", true]);
  }
  const once = altered.asked();
  assert.ok(once > 0);
  altered.clock.ms += 5000;
  await altered.lookUp();
  assert.equal(altered.asked(), once);
  altered.clock.ms += 40_000;
  await altered.lookUp();
  assert.ok(altered.asked() > once);
});

test("that a baseline is approved is known also where its entries cannot be had, and of no other image", async () => {
  const without = await cacheOn(() => []);
  const approved = await without.lookUp();
  assert.ok("isApproved" in approved && approved.isApproved, JSON.stringify(approved));
  assert.equal((await without.lookUp("other")).status, "none");
  const silent = await lieAbout(file, ledger.chain.url, () => null);
  const nothing = await new BaselineCache({ ...ledger.place, url: silent }).lookUp(testIdentity("web"));
  assert.ok("isApproved" in nothing && !nothing.isApproved, JSON.stringify(nothing));
});
