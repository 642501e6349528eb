import assert from "node:assert/strict";
import { endianness } from "node:os";
import { test } from "node:test";
import fc from "fast-check";
import { type DiagSocket, parseDiag } from "./sock-diag.ts";

const LITTLE = endianness() === "LE";

/** One netlink message (netlink(7)). */
function message(type: number, sequence: number, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(16 + Math.ceil(body.length / 4) * 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, 16 + body.length, LITTLE);
  view.setUint16(4, type, LITTLE);
  view.setUint32(8, sequence, LITTLE);
  bytes.set(body, 16);
  return bytes;
}

function socket(family: number, address: number[], port: number, inode: number): Buffer {
  const body = Buffer.alloc(72);
  const view = new DataView(body.buffer, body.byteOffset);
  view.setUint8(0, family);
  view.setUint8(1, 10);
  view.setUint16(4, port);
  body.set(address, 8);
  view.setUint32(68, inode, LITTLE);
  return body;
}

const done = message(3, 7, new Uint8Array(4));
const dump = Buffer.concat([
  message(20, 7, socket(2, [127, 0, 0, 1], 4444, 11)),
  message(
    20,
    7,
    Buffer.concat([socket(10, [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1], 443, 4_000_000_000), Buffer.alloc(5)]),
  ),
]);

function parse(bytes: Uint8Array, sequence = 7) {
  const sockets: DiagSocket[] = [];
  const end = parseDiag(bytes, sequence, sockets);
  return {
    end,
    sockets: sockets.map(({ address, port, inode }) => `${Buffer.from(address).toString("hex")} ${port} ${inode}`),
  };
}

const both = ["7f000001 4444 11", "20010db8000000000000000000000001 443 4000000000"];

test("sockets, the end, and an error", () => {
  assert.deepEqual(parse(dump), { end: "more", sockets: both });
  assert.deepEqual(parse(Buffer.concat([dump, done])), { end: "done", sockets: both });
  const error = Buffer.alloc(4);
  new DataView(error.buffer, error.byteOffset).setInt32(0, -2, LITTLE);
  assert.deepEqual(parse(message(2, 7, error)), { end: -2, sockets: [] });
});

test("answers to another question are not answers", () => {
  assert.deepEqual(parse(Buffer.concat([dump, done]), 8), { end: "more", sockets: [] });
});

test("cut anywhere, and changed anywhere, it gives whole sockets or none", () => {
  for (let length = 0; length < dump.length; length++)
    assert.deepEqual(
      parse(dump.subarray(0, length)).sockets,
      both.slice(0, parse(dump.subarray(0, length)).sockets.length),
    );
  fc.assert(
    fc.property(fc.nat(dump.length - 1), fc.nat(255), (at, value) => {
      const changed = Buffer.from(dump);
      changed[at] = value;
      assert.ok(parse(changed).sockets.length <= 2);
    }),
  );
});
