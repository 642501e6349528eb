// A chain that stops: what was approved holds until its time is over, and nothing false is said before or after.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { lookUpBaseline } from "../attest/reference-values.ts";
import { digestOf } from "../attest/sample-events.ts";
import type { TestHost } from "../attest/testing.ts";
import { formatEntry, formatHeader } from "../baseline/format.ts";
import { BaselineCache } from "../ledger/baseline-cache.ts";
import { HOLD_MS } from "../ledger/config.ts";
import { type RunningChain, startAnvil } from "../ledger/embedded/anvil.ts";
import { revokeBaseline } from "../ledger/revoke.ts";
import { startTestLedger, testActions, testIdentity, testLines } from "../ledger/testing.ts";
import { lieAbout } from "../ledger/testing-endpoints.ts";
import { type Bench, enrolled, listed, reasonOf, TestClock, web } from "./testing.ts";

/** A baseline of the bench's image in which there is just the program that runs in it. */
function lines(): string[] {
  const entry = { path: listed, kind: "executable", size: 10n, sha256: digestOf(listed), segments: [] } as const;
  const header = { identity: web.image!, name: "web", architecture: "amd64", ports: [], entrypoint: [], jit: [] };
  return [formatHeader({ ...header, entries: 1 }), formatEntry(entry)];
}

/** A verifier that judges one trusted container by a real chain. */
async function onLedger(t: TestContext, settings: { holdMs?: number } = {}) {
  const ledger = await startTestLedger(t);
  const actions = testActions(ledger.place);
  const { id } = await actions.propose(ledger.publishers[0], lines());
  await actions.approve(ledger.publishers[1], id);
  const { bench, host } = await enrolled(t);
  const open = (): void => {
    const cache = new BaselineCache({ ...ledger.place, ...settings }, bench.store.baselines(), bench.clock, {
      heights: bench.store.heights(),
    });
    bench.cache = (identity) => lookUpBaseline(cache, identity);
  };
  open();
  return {
    ...{ ledger, bench, host, id },
    restart() {
      bench.restart();
      open();
    },
    /** The same chain at the same address. */
    async startChain(): Promise<RunningChain> {
      const port = Number(new URL(ledger.place.url).port);
      const chain = await startAnvil({ folder: ledger.folder, port });
      t.after(() => chain.stop());
      return chain;
    },
  };
}

/** Status and reasons of the only container after fresh evidence: what gets old is the ledger's word only. */
async function verdictOf({ bench, host }: { bench: Bench; host: TestHost }): Promise<string> {
  assert.equal(reasonOf(await bench.attest(host)), "accepted");
  const [container, ...more] = (await bench.verifier.reportHost("node1")).containers;
  assert.ok(container !== undefined && more.length === 0);
  const why = [...container.findings, ...container.reasons].map(({ reason }) => reason);
  return [container.status, ...why].join(" ");
}

test("a chain that stops leaves verdicts as they are until the hold is over; then nothing is known, and nothing held against anybody", async (t) => {
  const site = await onLedger(t);
  const { bench, ledger, startChain } = site;
  assert.equal(await verdictOf(site), "trusted");
  await ledger.chain.stop();
  bench.clock.pass(HOLD_MS - 1);
  assert.equal(await verdictOf(site), "trusted");
  bench.clock.pass(1);
  assert.equal(await verdictOf(site), "unknown ledger-unverified");
  bench.clock.pass(10 * HOLD_MS);
  assert.equal(await verdictOf(site), "unknown ledger-unverified");
  await startChain();
  bench.clock.pass(2000);
  assert.equal(await verdictOf(site), "trusted");
});

test("the hold is a setting; at zero there is none", async (t) => {
  const site = await onLedger(t, { holdMs: 5000 });
  assert.equal(await verdictOf(site), "trusted");
  await site.ledger.chain.stop();
  site.bench.clock.pass(4999);
  assert.equal(await verdictOf(site), "trusted");
  site.bench.clock.pass(1);
  assert.equal(await verdictOf(site), "unknown ledger-unverified");

  const without = await onLedger(t, { holdMs: 0 });
  assert.equal(await verdictOf(without), "trusted");
  await without.ledger.chain.stop();
  without.bench.clock.pass(2000);
  assert.equal(await verdictOf(without), "unknown ledger-unverified");
});

test("a verifier that starts while there is no chain knows nothing: its copy alone is not believed", async (t) => {
  const site = await onLedger(t);
  assert.equal(await verdictOf(site), "trusted");
  await site.ledger.chain.stop();
  site.restart();
  assert.notEqual(site.bench.store.baselines().read(web.image!), null);
  assert.equal(await verdictOf(site), "unknown ledger-unverified");
  await site.startChain();
  site.bench.clock.pass(2000);
  assert.equal(await verdictOf(site), "trusted");
});

test("what was revoked is not held, whatever happens to the chain afterwards", async (t) => {
  const site = await onLedger(t);
  assert.equal(await verdictOf(site), "trusted");
  await revokeBaseline({ ...site.ledger.place, key: site.ledger.publishers[2], id: site.id });
  site.bench.clock.pass(2000);
  assert.equal(await verdictOf(site), "unknown baseline-revoked");
  await site.ledger.chain.stop();
  site.bench.clock.pass(2000);
  assert.equal(await verdictOf(site), "unknown ledger-unverified");
});

test("a machine that slept counts the time for which it did", async (t) => {
  const site = await onLedger(t);
  assert.equal(await verdictOf(site), "trusted");
  await site.ledger.chain.stop();
  site.bench.clock.wall += HOLD_MS;
  assert.equal(await verdictOf(site), "unknown ledger-unverified");
});

test("a baseline whose successor is proved is not held while the successor's entries are withheld", async (t) => {
  const ledger = await startTestLedger(t);
  const actions = testActions(ledger.place);
  const approve = async (count: number) => {
    const { id } = await actions.propose(ledger.publishers[0], testLines("web", count));
    await actions.approve(ledger.publishers[1], id);
  };
  await approve(3);
  const state = { withheld: false };
  const url = await lieAbout(t, ledger.chain.url, (method, result) =>
    state.withheld && method === "eth_getLogs" ? [] : result,
  );
  const clock = new TestClock();
  const cache = new BaselineCache({ ...ledger.place, url }, undefined, clock);
  const look = async () => (await cache.lookUp(testIdentity("web"))).status;
  assert.equal(await look(), "approved");
  state.withheld = true;
  await approve(4);
  clock.pass(2000);
  assert.notEqual(await look(), "approved");
  clock.pass(40_000);
  assert.notEqual(await look(), "approved");
  state.withheld = false;
  clock.pass(40_000);
  assert.equal(await look(), "approved");
});
