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
  for (const [index, { operation, gas, bytes, receiptBytes }] of measured.entries()) {
    const { gas: writtenGas, ...sizes } = written[index]!;
    // Random hashes and addresses have zero bytes now and then, which are cheaper.
    assert.ok(Math.abs(writtenGas - gas) <= Math.max(500, gas / 200), `${operation}: ${gas}, written is ${writtenGas}`);
    // A signature's numbers are a byte shorter now and then, and a gas limit.
    assert.ok(Math.abs(sizes.bytes - bytes) <= 8, `${operation}: ${bytes} bytes, written is ${sizes.bytes}`);
    assert.ok(Math.abs(sizes.receiptBytes - receiptBytes) <= 8, `${operation}: ${receiptBytes} bytes of receipt`);
  }
});
