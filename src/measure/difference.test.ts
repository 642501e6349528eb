import assert from "node:assert/strict";
import { arch } from "node:os";
import { test } from "node:test";
import { differenceOf } from "./difference.ts";

const breakpoint = arch() === "arm64" ? Buffer.from("000020d4", "hex") : Buffer.of(0xcc);

test("breakpoints are told from other changes", () => {
  const code = Buffer.alloc(4096, 0x90);
  const traced = Buffer.from(code);
  for (const at of [0, 16, 4096 - breakpoint.length]) breakpoint.copy(traced, at);
  assert.deepEqual(differenceOf(code, traced), { bytes: 3 * breakpoint.length, breakpoints: true });
  traced[8] = 0x91;
  assert.deepEqual(differenceOf(code, traced), { bytes: 3 * breakpoint.length + 1, breakpoints: false });
  assert.deepEqual(differenceOf(code, code), { bytes: 0, breakpoints: false });
});
