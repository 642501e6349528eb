import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type DetectionRow, withDetectionTable } from "../bench/detection-table.ts";
import { withRevocationTable } from "../bench/revocation-table.ts";
import { withWindowTable } from "../bench/window-table.ts";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

test("the page says how long an attack goes unseen as the bench measured it", () => {
  const { rows }: { rows: DetectionRow[] } = JSON.parse(read("bench/results/detection.json"));
  const page = read("docs/performance.md");
  assert.equal(withDetectionTable(page, rows), page);
  assert.notEqual(withDetectionTable(page, [{ ...rows[0]!, tries: 7 }]), page);
  for (const { attack, tries, detected } of rows) assert.ok(tries >= 100 && detected === tries, attack);
});

test("the page says how long a violation could be lost as the bench measured it", () => {
  const { row, values } = JSON.parse(read("bench/results/window.json"));
  const page = read("docs/performance.md");
  assert.equal(withWindowTable(page, row), page);
  assert.notEqual(withWindowTable(page, { ...row, tries: 7 }), page);
  assert.ok(values.length >= 50 && values.length === row.tries);
  assert.deepEqual([values[0], values.at(-1)], [row.minMs, row.maxMs]);
});

test("the page says how long a revocation takes as the bench measured it, and none took longer than is promised", () => {
  const { rows, values } = JSON.parse(read("bench/results/revocation.json"));
  const page = read("docs/performance.md");
  assert.equal(withRevocationTable(page, rows), page);
  assert.notEqual(withRevocationTable(page, [{ ...rows[0], revocations: 7 }]), page);
  for (const [index, { revocations, minMs, maxMs }] of rows.entries()) {
    assert.ok(revocations >= 30 && values[index].length === revocations);
    assert.deepEqual([values[index][0], values[index].at(-1)], [minMs, maxMs]);
    assert.ok(maxMs < 5000, "docs/baselines.md: four seconds and twice what asking takes");
  }
});
