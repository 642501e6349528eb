import assert from "node:assert/strict";
import { test } from "node:test";
import { Nonces } from "./nonces.ts";

test("a nonce is 32 random bytes, open once", () => {
  const nonces = new Nonces();
  const given = Array.from({ length: 16 }, () => nonces.give(0));
  assert.equal(new Set(given).size, 16);
  for (const nonce of given) {
    assert.match(nonce, /^[0-9a-f]{64}$/);
    assert.equal(nonces.take(nonce, 0), true);
    assert.equal(nonces.take(nonce, 0), false);
  }
});

test("a nonce that was never given, or by another, is not open", () => {
  const nonces = new Nonces();
  assert.equal(nonces.take(new Nonces().give(0), 0), false);
  for (const nonce of ["", "00".repeat(32), "__proto__"]) assert.equal(nonces.take(nonce, 0), false);
});

test("those that were given before one that is taken are not open any more", () => {
  const nonces = new Nonces();
  const [first, second, third] = [nonces.give(0), nonces.give(0), nonces.give(0)];
  assert.equal(nonces.take("00".repeat(32), 0), false, "one that was never given closes none");
  assert.equal(nonces.take(second, 0), true);
  assert.equal(nonces.take(first, 0), false);
  assert.equal(nonces.take(third, 0), true);
});

test("after a minute it is gone, also for who tries too late", () => {
  const nonces = new Nonces();
  assert.equal(nonces.take(nonces.give(1000), 61_000), true);
  const late = nonces.give(1000);
  assert.equal(nonces.take(late, 61_001), false);
  assert.equal(nonces.take(late, 1000), false);
});

test("at most sixteen are open; the oldest make room", () => {
  const nonces = new Nonces();
  const given = Array.from({ length: 1000 }, () => nonces.give(0));
  assert.deepEqual(
    given.filter((nonce) => nonces.take(nonce, 0)),
    given.slice(-16),
  );
});
