import assert from "node:assert/strict";
import { test } from "node:test";
import { ActionLimit, actionFor, policySchema } from "./policy.ts";

test("alert is the default, and a policy with an unknown key or action is refused", () => {
  const policy = policySchema.parse({ actions: { "code-modified": "pause" } });
  assert.equal(actionFor(policy, "code-modified"), "pause");
  assert.equal(actionFor(policy, "unknown-library"), "alert");
  assert.equal(policySchema.safeParse({ actions: { "code-modifed": "pause" } }).success, false);
  assert.equal(policySchema.safeParse({ actions: { "code-modified": "explode" } }).success, false);
  assert.equal(policySchema.safeParse({ limit: 3 }).success, false);
});

test("no more actions in a minute than the limit", () => {
  const limit = new ActionLimit(2);
  assert.deepEqual([limit.take(0), limit.take(1), limit.take(2), limit.take(59_999)], [true, true, false, false]);
  assert.deepEqual([limit.take(60_000), limit.take(60_000), limit.take(60_001)], [true, false, true]);
});
