import assert from "node:assert/strict";
import { test } from "node:test";
import { ActionLimit, actionFor, policySchema } from "./policy.ts";

test("alert is the default, and a policy with an unknown key or action is refused", () => {
  const policy = policySchema.parse({ actions: { "code-modified": "pause" } });
  assert.equal(actionFor(policy, "code-modified", "web"), "pause");
  assert.equal(actionFor(policy, "unknown-library", "web"), "alert");
  assert.equal(policySchema.safeParse({ actions: { "code-modifed": "pause" } }).success, false);
  assert.equal(policySchema.safeParse({ actions: { "code-modified": "explode" } }).success, false);
  assert.equal(policySchema.safeParse({ limit: 3 }).success, false);
});

test("no more actions in a minute than the limit", () => {
  const limit = new ActionLimit(2);
  assert.deepEqual([limit.take(0), limit.take(1), limit.take(2), limit.take(59_999)], [true, true, false, false]);
  assert.deepEqual([limit.take(60_000), limit.take(60_000), limit.take(60_001)], [true, false, true]);
});

test("only containers that the policy names are acted on", () => {
  const acted = (pattern: string, name: string) =>
    actionFor(
      policySchema.parse({ actions: { "code-modified": "pause" }, containers: [pattern] }),
      "code-modified",
      name,
    ) === "pause";
  for (const [pattern, name] of [
    ["*", ""],
    ["web", "web"],
    ["web-*", "web-1"],
    ["*-web", "a-web"],
    ["a*b*c", "a1b2b3c"],
    ["a**c", "ac"],
  ])
    assert.ok(acted(pattern!, name!), `${pattern} ${name}`);
  for (const [pattern, name] of [
    ["web", "web-1"],
    ["web-*", "aweb-1"],
    ["a*a", "a"],
    ["a*b*b", "ab"],
    ["a*bc*c", "abc"],
    [".*", "web"],
  ])
    assert.ok(!acted(pattern!, name!), `${pattern} ${name}`);
});
