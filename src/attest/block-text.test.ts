import assert from "node:assert/strict";
import { test } from "node:test";
import { testHeader } from "../ledger/header/testing-sealed-headers.ts";
import { describeBlock } from "./block-text.ts";

const SECOND = 1_700_000_000;

for (const [seconds, text] of [
  [0, "0 seconds before"],
  [1, "1 second before"],
  [119, "119 seconds before"],
  [120, "2 minutes before"],
  [7_199, "119 minutes before"],
  [3 * 3600, "3 hours before"],
  [800 * 86_400, "800 days before"],
  [-5, "5 seconds after"],
] as const)
  test(`a block is ${text} the evidence`, () => {
    const acceptedAt = new Date((SECOND + seconds) * 1000).toISOString();
    const header = testHeader({ number: 7, timestamp: SECOND });
    assert.equal(
      describeBlock(header, acceptedAt),
      `block 7 ${header.hash} of 2023-11-14T22:13:20.000Z, ${text} the evidence was accepted`,
    );
  });

test("a block's time may be no time", () => {
  const header = testHeader({ timestamp: Number.MAX_SAFE_INTEGER });
  assert.match(describeBlock(header, "2026-01-02T03:04:05.000Z"), /^block 1 0x[0-9a-f]{64} of no year that there is$/);
});
