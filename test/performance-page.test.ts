import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { controlRow, lossRow, medianInterval } from "../bench/pairing.ts";
import { performancePage } from "../bench/performance-page.ts";
import { type LossResult, readResults } from "../bench/results.ts";

const page = readFileSync(join(import.meta.dirname, "../docs/performance.md"), "utf8");

test("the page shows what the bench's results hold", () => {
  const results = readResults();
  assert.equal(performancePage(page, results), page);
});

test("other results are another page, and writing it again changes nothing", () => {
  const conditions = { time: "2025-01-31T12:00:00.000Z", kernel: "6", processor: "one", cores: 2, roundSeconds: 2 };
  const rows = [lossRow("nginx", "requests/s", [100, 100, 100], [99, 97])];
  const control = [controlRow("nginx", "requests/s", [100, 101, 100])];
  const beside = [
    { tool: "auditd", notMeasured: null, rows },
    { tool: "fapolicyd", notMeasured: "it is running already", rows: [] },
  ];
  const loss: LossResult = {
    ...{ schema: "pims.bench-loss/v1", conditions, rows, agentCpuPercent: [1.5], control, beside },
  };
  const written = performancePage(page, { loss, exec: null, agent: null });
  assert.match(written, /\| nginx \| requests\/s \| 100 \| 98 \| 2 %, spread 1 \| 1\.5 % \| -1 %, spread 0 \|/);
  assert.match(written, /fapolicyd was not measured: it is running already\./);
  assert.equal(performancePage(written, { loss, exec: null, agent: null }), written);
  assert.throws(() => performancePage("", { loss, exec: null, agent: null }), /no place for loss/);
});

test("a round is held against the mean of its neighbours, so that a steady drift costs nothing", () => {
  const { lossPercent, without, tries } = lossRow("w", "u", [100, 120, 140], [110, 130]);
  assert.deepEqual([lossPercent, without, tries], [0, 120, 2]);
  assert.equal(lossRow("w", "u", [100, 100], [97]).lossPercent, 3);
  assert.equal(controlRow("w", "u", [100, 99, 100]).lossPercent, 1);
});

test("the median's interval has the ranks of the sign test's table", () => {
  const values = (count: number) => Array.from({ length: count }, (_, index) => index + 1).reverse();
  assert.equal(medianInterval(values(5)), null);
  assert.deepEqual(medianInterval(values(6)), [1, 6]);
  assert.deepEqual(medianInterval(values(16)), [4, 13]);
  assert.deepEqual(medianInterval(values(25)), [8, 18]);
});
