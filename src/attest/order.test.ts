// What makes an order one: each condition alone is enough to refuse it.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import { checkOrder, type Order, type OrderCheck, type OrderWish, type SignedOrder, signOrder } from "./order.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const other = generateKeyPairSync("ed25519");
const nowMs = Date.parse("2026-01-02T03:04:05.000Z");
const challenge = "c1".repeat(32);
const wish: OrderWish = {
  container: { runtime: "runc", id: "web-1" },
  action: "pause",
  reason: "looks odd – see the ticket",
  by: "ann@ops",
};
const given = { id: "0d".repeat(16), host: "node1", challenge, nowMs, key: privateKey };
const check: OrderCheck = { key: publicKey, host: "node1", challenge, nowMs: nowMs + 5000 };

function signed(text: string): SignedOrder {
  return { order: text, signature: sign(null, Buffer.from(text), privateKey).toString("base64") };
}

function refused(order: SignedOrder, text: RegExp, changes: Partial<OrderCheck> = {}): Order | null {
  const found = checkOrder(order, { ...check, ...changes });
  assert.ok(!found.accepted, "it was accepted");
  assert.match(found.text, text);
  return found.order;
}

test("an order for this host, in answer to this request, is what the operator wished", () => {
  const found = checkOrder(signOrder(wish, given), check);
  assert.ok(found.accepted);
  assert.deepEqual(found.order, {
    ...{ schema: "pims.order/v1", id: given.id, host: "node1", ...wish, challenge },
    ...{ issuedAt: "2026-01-02T03:04:05.000Z", expiresAt: "2026-01-02T03:06:05.000Z" },
  });
});

test("another host, another request, another key, or too late", () => {
  const order = signOrder(wish, given);
  assert.equal(refused(order, /another host/, { host: "node2" })?.id, given.id);
  assert.equal(refused(order, /no request that is open/, { challenge: "c2".repeat(32) })?.id, given.id);
  assert.equal(refused(order, /not signed/, { key: other.publicKey }), null, "nothing of it is believed");
  assert.equal(refused(signOrder(wish, { ...given, key: other.privateKey }), /not signed/), null);
  assert.ok(checkOrder(order, { ...check, nowMs: nowMs + 120_000 }).accepted);
  refused(order, /time is over/, { nowMs: nowMs + 120_001 });
  refused(order, /time is over/, { nowMs: Number.NaN });
});

test("every byte of it, and of its signature, counts", () => {
  const order = signOrder(wish, given);
  const bytes = Buffer.from(order.order);
  for (const [index, byte] of bytes.entries())
    for (const bit of [1, 32]) {
      const altered = Buffer.from(bytes);
      altered[index] = byte ^ bit;
      refused({ ...order, order: altered.toString("latin1") }, /not signed/);
      refused({ ...order, order: altered.toString("utf8") }, /not signed/);
    }
  const signature = Buffer.from(order.signature, "base64");
  for (const [index, byte] of signature.entries()) {
    const altered = Buffer.from(signature);
    altered[index] = byte ^ 1;
    refused({ ...order, signature: altered.toString("base64") }, /not signed/);
  }
  for (let length = 0; length < bytes.length; length += 7)
    refused({ ...order, order: order.order.slice(0, length) }, /not signed/);
  for (const odd of ["", "AA==", `${order.signature}AAAA`, Buffer.alloc(64).toString("base64")])
    refused({ ...order, signature: odd }, /not signed/);
});

test("what is signed and is no order: another form, another writing, more or less than there should be", () => {
  const { order } = signOrder(wish, given);
  const fields = JSON.parse(order) as Order;
  for (const text of [
    "",
    "null",
    "[]",
    "{",
    ` ${order}`,
    order.replace(",", ", "),
    order.replace('{"schema"', '{"id":"x","schema"'),
    order.replace('"action":"pause"', '"action":"kill","action":"pause"'),
    ...[
      { schema: "pims.order/v2" },
      { action: "explode" },
      { action: undefined },
      { extra: 1 },
      { container: { runtime: "runc", id: "" } },
      { container: { runtime: "host", id: "x" } },
      { challenge: "" },
      { expiresAt: "never" },
      { reason: "x".repeat(501) },
    ].map((change) => JSON.stringify({ ...fields, ...change })),
  ])
    assert.equal(refused(signed(text), /no form that is known/), null, text.slice(0, 80));
});
