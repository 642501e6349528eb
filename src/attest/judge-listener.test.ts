import assert from "node:assert/strict";
import { test } from "node:test";
import { eventSchema, type ListenerEvent } from "../log/event.ts";
import { findingSchema } from "../log/finding.ts";
import {
  applyRecords,
  emptyHostState,
  findingKey,
  type HostState,
  knowsListener,
  MAX_LISTENERS,
} from "./host-state.ts";
import type { ReferenceValues } from "./judge.ts";
import { judgeListener } from "./judge-listener.ts";
import { type ListenerPolicy, listenerPolicySchema } from "./listener-policy.ts";
import { codeEvent, containerOf, listenerEvent, startEvent, sweepEvent, violationEvent } from "./sample-events.ts";
import { decide } from "./verdict.ts";

const web = containerOf("web");
const reference: ReferenceValues = {
  hasDigest: () => true,
  hasPath: () => true,
  exposes: (port) => ["tcp/80", "udp/53"].includes(port),
  mayCompile: () => false,
  mayBeDisplaced: () => false,
  mayPreload: () => false,
};

function found(
  fields: Partial<ListenerEvent>,
  policy: ListenerPolicy = [],
  values: ReferenceValues | null = reference,
) {
  const event = listenerEvent(web, fields);
  eventSchema.parse(event);
  const finding = judgeListener(event, values, policy);
  if (finding !== null) findingSchema.parse(finding);
  return finding;
}
const path = (...args: Parameters<typeof found>) => found(...args)?.object.path ?? null;

test("what the image exposes, at whatever address; without a baseline nothing is judged", () => {
  for (const address of ["0.0.0.0", "::", "10.0.0.5"]) {
    assert.equal(path({ address, port: 80 }), null);
    assert.equal(path({ address, port: 53, protocol: "udp" }), null);
  }
  assert.equal(path({ port: 53 }), "tcp/53", "another protocol");
  assert.equal(path({ port: 4444 }, [], null), null);
});

test("what is listened on is named as people write it", () => {
  assert.equal(path({ port: 4444 }), "tcp/4444");
  assert.equal(path({ port: 4444, address: "::" }), "tcp/[::]:4444");
  assert.equal(path({ port: 4444, address: "10.0.0.5", protocol: "udp" }), "udp/10.0.0.5:4444");
  assert.equal(
    found({ port: 4444 })!.text,
    "process 4711 (/usr/bin/server) listens on tcp/4444, which the image does not expose",
  );
  assert.match(found({ port: 4444, protocol: "udp" })!.text, /receives on udp\/4444/);
  assert.equal(
    found({ port: 4444, held: false })!.text,
    "something in the container listens on tcp/4444, which the image does not expose; no process was found that holds the socket",
  );
});

test("loopback, unix sockets and clients' ports are judged only when policy says so", () => {
  const kinds: [ListenerPolicy[number]["judge"][number], Partial<ListenerEvent>, string][] = [
    ["loopback", { address: "127.0.0.1", port: 4444 }, "tcp/127.0.0.1:4444"],
    ["loopback", { address: "::1", port: 40_000, protocol: "udp" }, "udp/[::1]:40000"],
    ["unix", { address: "@name", port: 0, protocol: "unix" }, "unix/@name"],
    ["unix", { address: { hex: "40ff" }, port: 0, protocol: "unix" }, "unix/hex:40ff"],
    ["udp-client", { port: 32_768, protocol: "udp" }, "udp/32768"],
    ["udp-client", { port: 60_999, protocol: "udp", address: "::" }, "udp/[::]:60999"],
  ];
  for (const [kind, fields, name] of kinds) {
    assert.equal(path(fields), null, name);
    for (const judge of ["loopback", "unix", "udp-client"] as const) {
      const policy = [{ containers: ["*"], allow: [], judge: [judge] }];
      assert.equal(path(fields, policy), judge === kind ? name : null);
      assert.equal(path(fields, [{ ...policy[0]!, containers: ["other"] }]), null);
    }
  }
  for (const port of [32_767, 61_000]) assert.equal(path({ port, protocol: "udp" }), `udp/${port}`);
  assert.equal(path({ port: 40_000 }), "tcp/40000", "TCP has no such doubt");
});

test("policy allows ports, ranges, addresses and names, in the containers that it names", () => {
  const allow = (pattern: string, containers = ["we*"]): ListenerPolicy =>
    listenerPolicySchema.parse([
      { containers, allow: [pattern] },
      { containers: ["*"], judge: ["loopback", "unix"] },
    ]);
  const cases: [string, Partial<ListenerEvent>, boolean][] = [
    ["tcp/4444", { port: 4444 }, true],
    ["tcp/4444", { port: 4444, address: "::" }, true],
    ["tcp/4444", { port: 4445 }, false],
    ["udp/4444", { port: 4444 }, false],
    ["tcp/4000-4444", { port: 4444 }, true],
    ["tcp/4000-4443", { port: 4444 }, false],
    ["tcp/*", { port: 4444 }, true],
    ["tcp/10.*:*", { port: 4444, address: "10.1.2.3" }, true],
    ["tcp/10.*:*", { port: 4444 }, false],
    ["udp/[::]:5353", { port: 5353, address: "::", protocol: "udp" }, true],
    ["udp/[::]:5353", { port: 5353, protocol: "udp" }, false],
    ["unix/@na*", { address: "@name", port: 0, protocol: "unix" }, true],
    ["unix/@na", { address: "@name", port: 0, protocol: "unix" }, false],
    ["tcp/*", { address: "@name", port: 0, protocol: "unix" }, false],
  ];
  for (const [pattern, fields, allowed] of cases) {
    assert.equal(path(fields, allow(pattern)) === null, allowed, `${pattern} ${JSON.stringify(fields)}`);
    if (allowed) assert.notEqual(path(fields, allow(pattern, ["other"])), null);
  }
  for (const pattern of ["4444", "tcp", "tcp/", "tcp/x", "sctp/80", "tcp/80/90", "unix/", ""])
    assert.ok(!listenerPolicySchema.safeParse([{ containers: ["*"], allow: [pattern] }]).success, pattern);
});

function stateOf(...events: Parameters<typeof apply>[1][]): HostState {
  const state = emptyHostState();
  for (const event of [startEvent(web), codeEvent(web, "/usr/bin/server"), ...events, sweepEvent()])
    apply(state, event);
  return state;
}
function apply(state: HostState, event: Parameters<typeof eventSchema.parse>[0] & object): void {
  applyRecords(state, [{ recnum: 0, pcr: 13, digest: "00".repeat(32), events: [eventSchema.parse(event)] }]);
}
const verdict = (state: HostState, listeners: ListenerPolicy = []) =>
  decide(state, [...state.containers.values()][0]!, { found: true, reference }, { standing: "good" }, { listeners });

test("agent and verifier come to one finding, from the fact and from the violation", () => {
  const event = listenerEvent(web, { port: 4444 });
  assert.equal(verdict(stateOf(listenerEvent(web, { port: 80 }))).status, "trusted");
  const [finding] = verdict(stateOf(event)).findings;
  assert.equal(finding?.reason, "unexpected-listener");
  const { container, ...fields } = finding!;
  const both = verdict(stateOf(event, violationEvent(container, fields)));
  assert.deepEqual(both.findings.map(findingKey), [findingKey(finding!)]);
  const allowed: ListenerPolicy = [{ containers: ["web"], allow: ["tcp/4444"], judge: [] }];
  assert.equal(verdict(stateOf(event), allowed).status, "trusted");
  assert.equal(verdict(stateOf(event, violationEvent(container, fields)), allowed).status, "untrusted");
});

test("a listener is the same for each process of a program, and another for another program", () => {
  const state = stateOf(listenerEvent(web, { port: 4444 }));
  const knows = (fields: Partial<ListenerEvent>) => knowsListener(state, listenerEvent(web, { port: 4444, ...fields }));
  assert.ok(knows({ pid: 9, startTime: "99" }));
  for (const fields of [
    { exe: "/bin/other" },
    { port: 4445 },
    { address: "::" },
    { protocol: "udp" },
    { held: false },
  ] as const)
    assert.ok(!knows(fields), JSON.stringify(fields));
});

test("what a container can make others remember is bounded, and then it is not trusted for it", () => {
  const many = (count: number, fields: (index: number) => Partial<ListenerEvent>) => {
    const state = stateOf();
    for (let index = 0; index < count; index++) apply(state, listenerEvent(web, fields(index)));
    return { state, size: [...state.containers.values()][0]!.listeners.size };
  };
  const other = many(MAX_LISTENERS + 5, (index) => ({ address: "127.0.0.1", port: index + 1 }));
  assert.equal(other.size, MAX_LISTENERS);
  assert.deepEqual(
    [verdict(other.state).status, verdict(other.state).reasons.map(({ reason }) => reason)],
    ["unknown", ["coverage-incomplete"]],
  );
  assert.ok(knowsListener(other.state, listenerEvent(web, { port: 9999 })), "it is not logged again with every sweep");
  const clients = many(1000, (index) => ({ protocol: "udp", port: 40_000 + index }));
  assert.equal(clients.size, 256);
  assert.equal(verdict(clients.state).status, "trusted", "a client may have a new socket for each request");
  apply(clients.state, listenerEvent(web, { port: 4444 }));
  assert.equal(verdict(clients.state).status, "untrusted", "and they leave room for others");
});
