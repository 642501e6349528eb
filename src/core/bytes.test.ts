import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, jsonTextBytes, printable, toHex, toJsonText } from "./bytes.ts";

test("hexadecimal goes both ways and refuses anything else", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(fromHex(toHex(bytes)), bytes)));
  for (const bad of ["0", "0g", "0x00", " 00"]) assert.throws(() => fromHex(bad), { code: "bad-hex" });
});

test("a path keeps its exact bytes through JSON, valid UTF-8 or not", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(jsonTextBytes(toJsonText(bytes)), bytes)));
  assert.deepEqual(toJsonText(new Uint8Array([0x2f, 0xff])), { hex: "2fff" });
});

test("a hostile name cannot write to the terminal", () => {
  assert.equal(printable("/tmp/\u001b[2Jx\n\u202ey"), "/tmp/\\u001b[2Jx\\u000a\\u202ey");
});
