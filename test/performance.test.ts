import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type DetectionRow, withDetectionTable } from "../bench/detection-table.ts";
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
