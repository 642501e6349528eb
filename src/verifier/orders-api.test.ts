// Orders over the HTTP interface: who may give them, who gets them, and what ends them.
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import { checkOrder, type Order, orderAnswerSchema, ordersKeySchema, signedOrderSchema } from "../attest/order.ts";
import { actionEvent } from "../attest/sample-events.ts";
import { buildApi } from "./api.ts";
import { Orders } from "./orders.ts";
import { enrolled, JOIN, OPERATOR, web } from "./testing.ts";

const CHALLENGE = "c1".repeat(32);
const wish = { container: { runtime: web.runtime, id: web.id }, action: "pause", reason: "odd", by: "ann" };

async function site(t: TestContext) {
  const { privateKey } = generateKeyPairSync("ed25519");
  const parts = await enrolled(t);
  const { bench, token } = parts;
  const orders = new Orders(privateKey, bench.clock);
  bench.onProved = (host, records) => orders.onProved(host, records);
  const app = buildApi(bench.verifier, bench.enrollment(), { orders });
  t.after(() => app.close());
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const ask = async (method: "GET" | "POST", path: string, shown: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${shown}`, ...(body ? { "content-type": "application/json" } : {}) };
    const answer = await fetch(url + path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  };
  const poll = (waitMs: number, challenge = `&challenge=${CHALLENGE}`) =>
    ask("GET", `/v1/hosts/node1/wanted?waitMs=${waitMs}${challenge}`, token);
  const give = (waitMs: number, more: object = {}, shown = OPERATOR, host = "node1") =>
    ask("POST", `/v1/hosts/${host}/orders?waitMs=${waitMs}`, shown, { ...wish, ...more });
  const key = createPublicKey({
    key: Buffer.from(ordersKeySchema.parse((await ask("GET", "/v1/orders-key", "")).json).key, "base64"),
    ...{ format: "der", type: "spki" },
  });
  const orderIn = (json: Record<string, unknown>, challenge = CHALLENGE): Order => {
    const signed = signedOrderSchema.parse(json.order);
    const found = checkOrder(signed, { key, host: "node1", challenge, nowMs: bench.clock.now() });
    assert.ok(found.accepted);
    return found.order;
  };
  return { ...parts, orders, ask, poll, give, orderIn };
}

test("only an operator orders, and only what can be ordered", async (t) => {
  const { orders, token, give } = await site(t);
  for (const shown of ["", JOIN, token, OPERATOR.slice(1), "00".repeat(32)]) {
    const { status, json } = await give(0, {}, shown);
    assert.deepEqual([status, json.error], [401, "not-authorized"]);
  }
  for (const more of [
    { action: "isolate" },
    { extra: 1 },
    { reason: "" },
    { reason: "x".repeat(501) },
    { by: "" },
    { container: web.id },
    { container: { runtime: "host", id: "x" } },
  ])
    assert.deepEqual((await give(0, more)).json.error, "request-malformed", JSON.stringify(more));
  const unknown = await give(0, { container: { runtime: web.runtime, id: "ee".repeat(32) } });
  assert.deepEqual([unknown.status, unknown.json.error], [404, "container-unknown"]);
  assert.deepEqual((await give(0, {}, OPERATOR, "nobody")).json.error, "host-unknown");
  assert.equal(orders.isWaiting("node1"), false);
});

test("an order comes with the request that is held, once, and a proved record ends it", async (t) => {
  const { bench, host, poll, give, orderIn } = await site(t);
  const held = poll(20_000);
  const given = give(20_000);
  const order = orderIn((await held).json);
  assert.deepEqual([order.action, order.container, order.reason, order.by], ["pause", wish.container, "odd", "ann"]);
  assert.equal((await poll(0)).json.order, null, "not again");
  // Evidence of something else, and an action by policy, end nothing.
  await bench.attest(host, actionEvent(web));
  const { id, by, reason } = order;
  await bench.attest(host, { ...actionEvent(web), reason: null, by: "order", order: { id, by, reason } });
  const answer = orderAnswerSchema.parse((await given).json);
  assert.deepEqual(answer, { id, fetched: true, ended: { outcome: "done", text: "paused", record: 5 } });
});

test("one that was there before is given at once; to nobody without a challenge, who has hung up, or of another host", async (t) => {
  const { orders, token, ask, poll, give, orderIn } = await site(t);
  const given = give(3000);
  while (!orders.isWaiting("node1")) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal((await poll(0, "")).json.order, null);
  assert.equal((await poll(0, "&challenge=abc")).status, 400);
  assert.equal((await ask("GET", `/v1/hosts/node1/wanted?challenge=${CHALLENGE}`, OPERATOR)).status, 401);
  assert.equal((await ask("GET", `/v1/hosts/node2/wanted?challenge=${CHALLENGE}`, token)).status, 401);
  assert.ok(orders.isWaiting("node1"));
  orderIn((await poll(20_000)).json);
  const answer = orderAnswerSchema.parse((await given).json);
  assert.deepEqual([answer.fetched, answer.ended], [true, null]);
});
