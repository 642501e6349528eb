import assert from "node:assert/strict";
import { test } from "node:test";
import { gateModeOf, gateSchema, usesMode } from "./gate-policy.ts";

const UNTIL = "2026-01-02T00:00:00Z";
const untilMs = Date.parse(UNTIL);

test("the first row that matches counts, and an exception until its end", () => {
  const policy = gateSchema.parse({
    containers: [
      { name: "web-1", mode: "observe" },
      { name: "web-*", mode: "enforce" },
      { name: "build-*", mode: "off" },
    ],
    exceptions: [
      { name: "web-7", until: UNTIL },
      { name: "build-*", until: UNTIL },
    ],
  });
  const modes = (nowMs: number) =>
    ["web-1", "web-2", "web-7", "build-1", "db"].map((name) => gateModeOf(policy, name, nowMs));
  assert.deepEqual(modes(untilMs - 1), ["observe", "enforce", "observe", "off", "observe"]);
  assert.deepEqual(modes(untilMs), ["observe", "enforce", "enforce", "off", "observe"]);
});

test("without a setting everything is observed and nothing can be refused", () => {
  const policy = gateSchema.parse({});
  assert.equal(gateModeOf(policy, "any", 0), "observe");
  assert.ok(usesMode(policy, "observe") && !usesMode(policy, "enforce"));
  assert.ok(usesMode(gateSchema.parse({ containers: [{ name: "a", mode: "enforce" }] }), "enforce"));
});
