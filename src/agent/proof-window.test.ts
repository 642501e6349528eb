import assert from "node:assert/strict";
import { test } from "node:test";
import { ProofWindow } from "./proof-window.ts";

test("without a violation there is nothing to wait for", () => {
  const window = new ProofWindow();
  window.cover()(10);
  assert.equal(window.take(20), null);
});

test("the time from the log to the verifier's acceptance, the longest since it was last told", () => {
  const window = new ProofWindow();
  window.logged(100);
  window.logged(150);
  const accepted = window.cover();
  assert.equal(window.take(160), 60, "it waits while the evidence is on its way");
  accepted(200);
  assert.equal(window.take(900), 100, "the first of the two");
  assert.equal(window.take(1000), null);
});

test("what is logged after the evidence was made waits for the next", () => {
  const window = new ProofWindow();
  window.logged(100);
  const first = window.cover();
  window.logged(130);
  first(160);
  assert.equal(window.take(160), 60);
  assert.equal(window.take(250), 120);
  window.cover()(260);
  assert.equal(window.take(900), 130);
});

test("evidence that is refused or lost leaves them waiting", () => {
  const window = new ProofWindow();
  window.logged(100);
  window.cover();
  assert.equal(window.take(5100), 5000);
  window.cover()(6000);
  assert.equal(window.take(7000), 5900);
});

test("a flood of violations is bounded, and the first counts", () => {
  const window = new ProofWindow();
  for (let count = 0; count < 1_000_000; count++) window.logged(count);
  assert.equal(window.take(1_000_000), 1_000_000);
  window.cover()(1_000_001);
  assert.equal(window.take(2_000_000), 1_000_001);
  assert.equal(window.take(2_000_000), null);
});
