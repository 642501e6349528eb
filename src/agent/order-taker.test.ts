// The agent's side of orders: what it carries out, what it refuses, and that nothing is done twice.
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { applyRecords, emptyHostState, type HostState } from "../attest/host-state.ts";
import { type OrderWish, type SignedOrder, signOrder } from "../attest/order.ts";
import { containerOf, startEvent } from "../attest/sample-events.ts";
import { PimsError } from "../core/errors.ts";
import { type ActionEvent, eventSchema, type LogEvent } from "../log/event.ts";
import { ActionLimit, policySchema } from "../respond/policy.ts";
import { TestClock } from "../verifier/testing.ts";
import { OrderTaker, type OrderTakerOptions } from "./order-taker.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const web = containerOf("web");

function stateOf(...events: LogEvent[]): HostState {
  const state = emptyHostState();
  applyRecords(state, [{ recnum: 0, pcr: 13, digest: "", events: [startEvent(web), ...events] }]);
  return state;
}

function site(changes: Partial<OrderTakerOptions> = {}, state = stateOf()) {
  const clock = new TestClock();
  const done: string[] = [];
  const said: string[] = [];
  const options: OrderTakerOptions = {
    host: "node1",
    policy: policySchema.parse({}),
    ownContainer: null,
    clock,
    key: async () => publicKey,
    act: async (action, { id }) => {
      done.push(`${action} ${id}`);
      return `${action} it was`;
    },
    report: (text) => void said.push(text),
    ...changes,
  };
  const limit = new ActionLimit(10);
  const taker = new OrderTaker(options);
  const order = (challenge: string, wish: Partial<OrderWish> = {}, key: KeyObject = privateKey): SignedOrder =>
    signOrder(
      { container: { runtime: web.runtime, id: web.id }, action: "pause", reason: "odd", by: "ann", ...wish },
      { id: "0d".repeat(16), host: "node1", challenge, nowMs: clock.now(), key },
    );
  const carryOut = async (signed: SignedOrder, challenge: string, by = taker): Promise<ActionEvent | null> => {
    const event = await by.carryOut(signed, challenge, state, limit);
    if (event !== null) eventSchema.parse(event);
    return event;
  };
  return { clock, done, said, taker, options, order, carryOut };
}

test("an order is carried out and logged with who asked and why", async () => {
  const { done, taker, order, carryOut } = site();
  const challenge = (await taker.challenge())!;
  const event = (await carryOut(order(challenge, { action: "kill" }), challenge))!;
  assert.deepEqual(done, [`kill ${web.id}`]);
  assert.deepEqual(
    [event.action, event.container, event.reason, event.by, event.order, event.outcome, event.text],
    ["kill", web, null, "order", { id: "0d".repeat(16), by: "ann", reason: "odd" }, "done", "kill it was"],
  );
});

test("given again, later, out of order or to an agent that was started again, it does nothing", async () => {
  const { done, taker, options, order, carryOut } = site();
  const challenges = [(await taker.challenge())!, (await taker.challenge())!, (await taker.challenge())!];
  assert.equal(new Set(challenges).size, 3);
  const orders = challenges.map((challenge) => order(challenge));
  assert.equal((await carryOut(orders[0]!, challenges[0]!))?.outcome, "done");
  // Every request has its own challenge: an order of an earlier or later one is the answer to none that is open.
  for (const [signed, challenge] of [
    [orders[0], challenges[1]],
    [orders[2], challenges[1]],
    [orders[1], challenges[2]],
  ] as const)
    assert.match((await carryOut(signed!, challenge!))!.text, /no request that is open/);
  // Its state folder, copied or not, holds nothing that an old order would fit to.
  const restarted = new OrderTaker(options);
  const event = await carryOut(orders[1]!, (await restarted.challenge())!, restarted);
  assert.deepEqual([event?.outcome, done.length], ["refused", 1]);
});

test("what is not the verifier's is not even logged; what is genuine and may not be done is", async () => {
  const stopped = stateOf({ type: "container-stop", time: "2026-01-02T03:04:05.000Z", container: web });
  const cases: [RegExp, Partial<OrderTakerOptions>, Partial<OrderWish>, HostState?][] = [
    [/no such container/, {}, { container: { runtime: "docker", id: "ee".repeat(32) } }],
    [/no such container/, {}, { container: { runtime: "podman", id: web.id } }],
    [/has stopped/, {}, {}, stopped],
    [/agent itself/, { ownContainer: web }, {}],
    [/policy\.orders/, { policy: policySchema.parse({ orders: ["resume"] }) }, {}],
    [/policy\.containers/, { policy: policySchema.parse({ containers: ["db-*"] }) }, {}],
  ];
  for (const [text, options, wish, state] of cases) {
    const { done, taker, order, carryOut } = site(options, state);
    const challenge = (await taker.challenge())!;
    const event = (await carryOut(order(challenge, wish), challenge))!;
    assert.equal(event.outcome, "refused");
    assert.match(event.text, text);
    assert.deepEqual(done, []);
  }
  const { done, said, taker, order, carryOut } = site();
  const challenge = (await taker.challenge())!;
  const forged = order(challenge, {}, generateKeyPairSync("ed25519").privateKey);
  assert.equal(await carryOut(forged, challenge), null);
  assert.deepEqual([done, said], [[], ["refused: an order is not signed by the verifier's key"]]);
});

test("the limit of actions holds, failures are told, and a verifier gone mad does not fill the log", async () => {
  const failing = async () => {
    throw new PimsError("action-failed", "it could not be done");
  };
  const { clock, taker, order, carryOut } = site({ act: failing });
  const outcomes: (string | undefined)[] = [];
  for (let count = 0; count < 11; count++) {
    const challenge = (await taker.challenge())!;
    outcomes.push((await carryOut(order(challenge), challenge))?.outcome);
  }
  assert.deepEqual(outcomes, [...Array(10).fill("failed"), "suppressed"]);
  const wrong: (ActionEvent | null)[] = [];
  for (let count = 0; count < 30; count++)
    wrong.push(await carryOut(order("00".repeat(32)), (await taker.challenge())!));
  assert.equal(wrong.filter((event) => event !== null).length, 10);
  clock.pass(60_000);
  assert.equal((await carryOut(order("00".repeat(32)), (await taker.challenge())!))?.outcome, "refused");
});

test("without the verifier's key nothing is asked for and nothing done; a damaged one is told of once", async () => {
  const none = site({ key: async () => null });
  assert.equal(await none.taker.challenge(), undefined);
  assert.equal(await none.carryOut(none.order("00".repeat(32)), "00".repeat(32)), null);
  const damaged = site({
    key: async () => {
      throw new PimsError("orders-key-invalid", "the key is none");
    },
  });
  for (let count = 0; count < 3; count++) assert.equal(await damaged.taker.challenge(), undefined);
  assert.deepEqual(damaged.said, ["no orders are taken: the key is none"]);
});
