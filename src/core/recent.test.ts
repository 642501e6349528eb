import assert from "node:assert/strict";
import { test } from "node:test";
import { Recent } from "./recent.ts";

test("what is asked for stays, what nobody asks for goes", () => {
  const recent = new Recent<number>({ max: 10, idleMs: 100 });
  recent.set("used", 1, 0);
  recent.set("idle", 2, 0);
  assert.equal(recent.get("used", 60), 1);
  recent.set("new", 3, 120);
  assert.equal(recent.get("idle", 120), undefined);
  assert.equal(recent.get("used", 120), 1);
  recent.delete("used");
  assert.equal(recent.get("used", 120), undefined);
});

test("however many keys there are, no more than `max` are kept: the latest that were asked for", () => {
  const recent = new Recent<number>({ max: 3, idleMs: 1e9 });
  recent.set("kept", 0, 0);
  for (let count = 1; count < 1000; count++) {
    recent.set(`key ${count}`, count, count);
    assert.equal(recent.get("kept", count), 0);
    assert.ok(recent.size <= 3);
  }
  assert.equal(recent.get("key 999", 1000), 999);
});
