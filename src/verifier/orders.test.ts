// The verifier's side of orders: handed out once, and ended by what is proved only.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { checkOrder, type OrderWish } from "../attest/order.ts";
import { actionEvent } from "../attest/sample-events.ts";
import type { ActionEvent } from "../log/event.ts";
import type { LogRecord } from "../log/record.ts";
import { Orders } from "./orders.ts";
import { TestClock, web } from "./testing.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const challenge = (number: number) => number.toString(16).padStart(64, "0");
const wish: OrderWish = { container: { runtime: "docker", id: web.id }, action: "kill", reason: "r", by: "ann" };

function site() {
  const clock = new TestClock();
  const orders = new Orders(privateKey, clock);
  const idOf = (host: string, number: number): string => {
    const signed = orders.take(host, challenge(number));
    assert.ok(signed !== null);
    const found = checkOrder(signed, { key: publicKey, host, challenge: challenge(number), nowMs: clock.now() });
    assert.ok(found.accepted);
    return found.order.id;
  };
  return { orders, idOf };
}

function record(id: string, outcome: ActionEvent["outcome"] = "done"): LogRecord {
  const event = {
    ...actionEvent(web),
    reason: null,
    by: "order" as const,
    order: { id, by: "ann", reason: "r" },
    outcome,
  };
  return { recnum: 17, pcr: 13, digest: "00".repeat(32), events: [event] };
}

test("an order is handed out once, to its host, in answer to one challenge; a proved record ends it", async () => {
  const { orders, idOf } = site();
  const enough = new AbortController();
  assert.equal(orders.isWaiting("node1"), false);
  const answer = orders.place("node1", wish, enough.signal);
  assert.deepEqual([orders.isWaiting("node1"), orders.isWaiting("node2")], [true, false]);
  assert.equal(orders.take("node2", challenge(1)), null);
  const id = idOf("node1", 1);
  assert.equal(orders.isWaiting("node1"), false);
  assert.equal(orders.take("node1", challenge(1)), null, "not the same again");
  assert.equal(orders.take("node1", challenge(2)), null, "nor another one for the same wish");
  // What is said of it elsewhere ends nothing.
  orders.onProved("node2", [record(id)]);
  orders.onProved("node1", [record("ff".repeat(16)), { ...record(id), events: [actionEvent(web)] }]);
  orders.onProved("node1", [record(id, "failed")]);
  assert.deepEqual(await answer, { id, fetched: true, ended: { outcome: "failed", text: "paused", record: 17 } });
});

test("an order that nobody fetched in time is withdrawn; one that was fetched is left open", async () => {
  const { orders, idOf } = site();
  const enough = new AbortController();
  const [first, second] = [orders.place("node1", wish, enough.signal), orders.place("node1", wish, enough.signal)];
  const id = idOf("node1", 1);
  enough.abort();
  assert.deepEqual(await first, { id, fetched: true, ended: null });
  const { fetched, ended } = await second;
  assert.deepEqual([fetched, ended], [false, null]);
  assert.equal(orders.take("node1", challenge(2)), null);
  assert.equal((await orders.place("node1", wish, AbortSignal.abort())).fetched, false);
});

test("what a host does not answer is bounded, and its neighbours are served", async () => {
  const { orders } = site();
  const enough = new AbortController();
  const open = Array.from({ length: 16 }, () => orders.place("node1", wish, enough.signal));
  await assert.rejects(orders.place("node1", wish, enough.signal), { code: "orders-full" });
  const other = orders.place("node2", wish, enough.signal);
  enough.abort();
  assert.equal((await Promise.all([...open, other])).length, 17);
  const later = new AbortController();
  const again = orders.place("node1", wish, later.signal);
  later.abort();
  await again;
});
