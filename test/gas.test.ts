import assert from "node:assert/strict";
import { test } from "node:test";
import { measureGas, writtenGas } from "../scripts/measure-gas.ts";

test("the costs that are written down are those that are measured", async () => {
  const [written, measured] = [await writtenGas(), await measureGas()];
  assert.deepEqual(
    written.map(({ operation }) => operation),
    measured.map(({ operation }) => operation),
    "run node scripts/measure-gas.ts --write",
  );
  for (const [index, { operation, gas }] of measured.entries()) {
    // Random hashes and addresses have zero bytes now and then, which are cheaper.
    const off = Math.abs(written[index]!.gas - gas);
    assert.ok(off <= Math.max(500, gas / 200), `${operation}: ${gas}, written is ${written[index]!.gas}`);
  }
});
