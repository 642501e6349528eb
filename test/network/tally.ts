import assert from "node:assert/strict";
import { describeError } from "../../src/core/errors.ts";

/** Counts what was shown and what was not. */
export class Tally {
  passed = 0;
  failed = 0;

  add(passed: number, failed: number): void {
    this.passed += passed;
    this.failed += failed;
  }

  /** Does not throw; what comes after is still tried. */
  async check(what: string, work: () => Promise<void>): Promise<void> {
    const start = performance.now();
    try {
      await work();
      this.passed++;
      console.log(`passed  ${what} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    } catch (error) {
      this.failed++;
      console.log(`failed  ${what}: ${error instanceof assert.AssertionError ? error.message : describeError(error)}`);
    }
  }
}
