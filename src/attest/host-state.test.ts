import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEvent } from "../log/event.ts";
import {
  applyRecords,
  emptyHostState,
  findingKey,
  type HostState,
  isHeld,
  keyOf,
  knowsCode,
  MAX_CODE,
  MAX_VIOLATIONS,
} from "./host-state.ts";
import {
  actionEvent,
  codeEvent,
  containerOf,
  digestOf,
  findingOf,
  startEvent,
  stopEvent,
  sweepEvent,
  TIME,
  violationEvent,
} from "./sample-events.ts";
import { decide } from "./verdict.ts";

const web = containerOf("web");
const LATER = "2026-01-03T00:00:00.000Z";

function apply(state: HostState, events: readonly LogEvent[]): HostState {
  applyRecords(state, [{ recnum: 0, pcr: 13, digest: "00".repeat(32), events }]);
  return state;
}
const stateOf = (...events: LogEvent[]) => apply(emptyHostState(), events);
const only = (state: HostState) => [...state.containers.values()][0]!;

test("a log adds up to its containers, their code, findings and actions, and the last sweep", () => {
  const app = containerOf("app");
  const sweep = sweepEvent({ nonce: "77" });
  const state = stateOf(
    startEvent(web),
    codeEvent(web, "/usr/bin/server"),
    codeEvent(app, "/usr/bin/server"),
    violationEvent(app),
    actionEvent(app),
    sweepEvent(),
    sweep,
    stopEvent(app),
  );
  assert.deepEqual([...state.containers.keys()], [keyOf(web), keyOf(app)]);
  const [first, second] = [...state.containers.values()];
  assert.deepEqual([first!.startedAt, first!.stoppedAt, first!.imageName], [TIME, null, "web:latest"]);
  assert.deepEqual([first!.code.size, first!.violations.size, first!.actions.length], [1, 0, 0]);
  assert.deepEqual([second!.code.size, second!.violations.size, second!.actions.length], [1, 1, 1]);
  assert.equal(second!.stoppedAt, TIME);
  assert.deepEqual(state.lastSweep, sweep);
});

test("at a boot every container has stopped, keeps what was found in it, and is told anew", () => {
  const boot = (number: number): LogEvent => {
    return { type: "boot", time: LATER, bootId: `00000000-0000-4000-8000-00000000000${number}`, previous: null };
  };
  const gone = containerOf("gone");
  const events = [startEvent(web), codeEvent(web, "/usr/bin/bad"), violationEvent(web), actionEvent(web), sweepEvent()];
  const state = stateOf(boot(1), ...events, startEvent(gone), stopEvent(gone), boot(2));
  const container = state.containers.get(keyOf(web))!;
  assert.deepEqual([container.stoppedAt, state.containers.get(keyOf(gone))?.stoppedAt], [LATER, TIME]);
  assert.deepEqual([container.code.size, container.earlier.code.size, container.violations.size], [0, 1, 1]);
  assert.deepEqual([container.actions.length, container.earlier.actions, isHeld(container)], [1, 1, false]);
  assert.equal(state.lastSweep, null);
  assert.equal(knowsCode(state, codeEvent(web, "/usr/bin/bad")), false);

  // The same container again: its earlier code is judged still, beside what runs now.
  apply(state, [startEvent(web), codeEvent(web, "/usr/bin/good"), sweepEvent()]);
  const reference = {
    ...{ hasDigest: (digest: string) => digest === digestOf("/usr/bin/good"), hasPath: () => false },
    ...{ exposes: () => false, mayCompile: () => false, mayBeDisplaced: () => false, mayPreload: () => false },
  };
  const verdict = decide(state, container, { found: true, reference }, { standing: "good" });
  assert.deepEqual(
    [container.stoppedAt, verdict.status, verdict.findings.map(({ reason }) => reason)],
    [null, "untrusted", ["code-modified", "unknown-executable"]],
  );
  // Once more changes nothing more.
  apply(state, [boot(3)]);
  apply(state, [boot(3)]);
  assert.deepEqual([container.code.size, container.earlier.code.size, container.earlier.actions], [0, 2, 1]);
});

test("a container of runc does not outlive a boot: its id is another one's afterwards", () => {
  const old = containerOf("web", { runtime: "runc" });
  const boot = { type: "boot" as const, time: LATER, bootId: "00000000-0000-4000-8000-000000000002", previous: null };
  const state = stateOf(startEvent(old), violationEvent(old), boot);
  assert.equal(only(state).violations.size, 1);
  apply(state, [startEvent(old)]);
  assert.equal(only(state).violations.size, 0);
});

test("what boots make the state remember is bounded, however many there are", () => {
  const state = emptyHostState();
  for (let number = 0; number < 5; number++) {
    const events = Array.from({ length: 1000 }, (_, index) => startEvent(containerOf(`${number} ${index}`)));
    const bootId = `00000000-0000-4000-8000-00000000000${number}`;
    apply(state, [{ type: "boot", time: TIME, bootId, previous: null }, ...events]);
  }
  assert.ok(state.containers.size <= 1024 + 2000, String(state.containers.size));
});

test("the same events in many records or in one add up to the same", () => {
  const events = [startEvent(web), codeEvent(web, "/a"), violationEvent(web), sweepEvent(), stopEvent(web)];
  const piecewise = emptyHostState();
  for (const event of events) apply(piecewise, [event]);
  assert.deepEqual(piecewise, stateOf(...events));
});

test("containers of two runtimes with the same id are two", () => {
  const other = { ...web, runtime: "runc" } as const;
  assert.equal(stateOf(startEvent(web), startEvent(other)).containers.size, 2);
});

test("an image that is named later is taken, and then never exchanged", () => {
  const unnamed = { ...web, name: "", image: null };
  const state = stateOf(
    startEvent(unnamed),
    startEvent(web),
    startEvent({ ...web, image: `sha256:${"0".repeat(64)}` }),
  );
  assert.deepEqual(only(state).container, web);
  assert.deepEqual(only(stateOf(startEvent(web), startEvent(unnamed))).container, web);
});

test("code is known by its bytes, by how it is held, and where there are none by the program", () => {
  const anonymous = (exe: string) =>
    codeEvent(web, "[anonymous]", {
      ...{ exe, backing: "anonymous", object: { path: "[anonymous]", dev: "0:0", ino: "0", digest: null } },
    });
  const state = stateOf(codeEvent(web, "/a"), anonymous("/usr/bin/node"));
  const moved = codeEvent(web, "/b", { object: { path: "/b", dev: "1:1", ino: "5", digest: digestOf("/a") } });
  assert.ok(knowsCode(state, codeEvent(web, "/a", { pid: 1 })));
  assert.ok(knowsCode(state, moved));
  assert.ok(knowsCode(state, anonymous("/usr/bin/node")));
  assert.ok(!knowsCode(state, anonymous("/usr/bin/perl")));
  assert.ok(!knowsCode(state, codeEvent(web, "/b")));
  assert.ok(!knowsCode(state, codeEvent(web, "/a", { deleted: true })));
  assert.ok(!knowsCode(state, codeEvent(web, "/a", { backing: "memfd" })));
  assert.ok(!knowsCode(state, codeEvent(containerOf("other"), "/a")));
});

test("a finding is one for its reason, process, object and pages, and another for any other", () => {
  const base = findingOf(web);
  const page = base.pages[0]!;
  const others = [
    { reason: "file-modified" as const },
    { pid: 1 },
    { startTime: "1" },
    { object: { ...base.object, digest: "0".repeat(64) } },
    { object: { ...base.object, digest: null } },
    { pages: [] },
    { pages: [{ ...page, offset: "8192" }] },
    { pages: [{ ...page, actual: "33".repeat(32) }] },
  ].map((fields) => findingKey(findingOf(web, fields)));
  assert.equal(new Set([findingKey(base), ...others]).size, others.length + 1);
  assert.equal(findingKey(findingOf(web, { text: "other words", comm: "other" })), findingKey(base));
});

test("a finding that is said twice is kept once, with the first time", () => {
  const later = { ...violationEvent(web), time: "2027-01-01T00:00:00.000Z" };
  const { violations } = only(stateOf(violationEvent(web), later));
  assert.deepEqual(
    [...violations.values()].map(({ time }) => time),
    [TIME],
  );
});

test("what is remembered of one container is bounded, and beyond the bounds it is not trusted", () => {
  const state = stateOf(startEvent(web), sweepEvent());
  const many = (count: number, event: (index: number) => LogEvent) =>
    apply(
      state,
      Array.from({ length: count }, (_, index) => event(index)),
    );
  const yes = () => true;
  const reference = {
    hasDigest: yes,
    hasPath: yes,
    exposes: yes,
    mayCompile: yes,
    mayBeDisplaced: yes,
    mayPreload: yes,
  };
  const status = () => decide(state, only(state), { found: true, reference }, { standing: "good" });

  many(MAX_CODE - 1, (index) => codeEvent(web, `/${index}`));
  assert.equal(status().status, "trusted");
  many(10, (index) => codeEvent(web, `/more/${index}`));
  assert.equal(only(state).code.size, MAX_CODE);
  assert.deepEqual(
    [status().status, status().reasons.map(({ reason }) => reason)],
    ["unknown", ["coverage-incomplete"]],
  );
  assert.ok(knowsCode(state, codeEvent(web, "/never/seen")), "an agent does not log it again with every sweep");

  many(MAX_VIOLATIONS + 10, (pid) => violationEvent(web, { pid: pid + 1 }));
  assert.equal(only(state).violations.size, MAX_VIOLATIONS);
  assert.equal(status().status, "untrusted");
  many(2000, (index) => ({ ...actionEvent(web), text: `paused ${index}` }));
  assert.equal(only(state).actions.length, 1024);
  many(10, (index) => ({ ...actionEvent(web), text: `paused ${index + 1990}` }));
  assert.equal(only(state).actions.at(-1)?.text, "paused 1999", "what is told again is not taken for another");
});

test("of the stopped containers the longest stopped are forgotten, living ones never", () => {
  const names = Array.from({ length: 1030 }, (_, index) => containerOf(String(index)));
  const state = stateOf(startEvent(web), ...names.map(startEvent));
  // The first to start is the last to stop.
  apply(state, names.toReversed().map(stopEvent));
  assert.equal(state.containers.size, 1 + 1024);
  assert.ok(state.containers.has(keyOf(web)));
  const forgotten = names.filter((container) => !state.containers.has(keyOf(container)));
  assert.deepEqual(
    forgotten.map(({ name }) => name),
    ["1024", "1025", "1026", "1027", "1028", "1029"],
  );
});

test("what was found in a container is not pushed out by others that come and go, before a boot or after it", () => {
  const others = (name: string) => Array.from({ length: 1100 }, (_, index) => containerOf(`${name} ${index}`));
  const pass = (...names: ReturnType<typeof others>) => names.flatMap((one) => [startEvent(one), stopEvent(one)]);
  const boot = { type: "boot" as const, time: LATER, bootId: "00000000-0000-4000-8000-000000000002", previous: null };
  const state = stateOf(startEvent(web), violationEvent(web), stopEvent(web), ...pass(...others("clean")));
  assert.equal(state.containers.size, 1024 + 1);
  apply(state, [boot, ...pass(...others("later")), startEvent(web)]);
  assert.equal(state.containers.get(keyOf(web))?.violations.size, 1);
  const found = others("found");
  apply(state, [stopEvent(web), ...found.flatMap((one) => [startEvent(one), violationEvent(one), stopEvent(one)])]);
  assert.equal(state.containers.size, 2 * 1024, "and that is bounded, too");
});

test("a container that lived at a boot is remembered longer than those that had stopped before", () => {
  const gone = Array.from({ length: 1024 }, (_, index) => containerOf(String(index)));
  const boot = { type: "boot" as const, time: LATER, bootId: "00000000-0000-4000-8000-000000000002", previous: null };
  const state = stateOf(startEvent(web), ...gone.flatMap((one) => [startEvent(one), stopEvent(one)]), boot);
  const next = containerOf("next");
  apply(state, [startEvent(next), stopEvent(next)]);
  assert.ok(state.containers.has(keyOf(web)));
  assert.ok(!state.containers.has(keyOf(gone[0]!)));
});

test("runc leaves a container's id to the next one, which is not condemned for it; Docker starts the same one again", () => {
  for (const [runtime, expected] of [
    ["runc", 0],
    ["docker", 1],
  ] as const) {
    const container = containerOf("web", { runtime });
    const state = emptyHostState();
    const events = [startEvent(container), violationEvent(container), stopEvent(container), startEvent(container)];
    applyRecords(state, [{ recnum: 0, pcr: 13, digest: "00".repeat(32), events }]);
    assert.equal(state.containers.get(keyOf(container))?.violations.size, expected, runtime);
  }
});

test("a container stands still from a pause on, until it is resumed or started again", () => {
  let count = 0;
  const done = (action: "pause" | "resume" | "kill", more: object = {}): LogEvent => ({
    ...{ ...actionEvent(web), time: new Date(Date.parse(TIME) + ++count).toISOString() },
    ...{ action, ...more },
  });
  const started = (pid: number, startTime: string): LogEvent => ({
    ...(startEvent(web) as Extract<LogEvent, { type: "container-start" }>),
    start: { process: { pid, startTime, comm: "server", exe: "/usr/bin/server" }, kernel: null, runtime: null },
  });
  const held = (...events: LogEvent[]) => isHeld(only(stateOf(started(10, "100"), ...events)));
  assert.equal(held(), false);
  assert.equal(held(done("pause")), true);
  for (const outcome of ["failed", "suppressed", "refused"])
    assert.equal(held(done("pause", { outcome })), false, outcome);
  assert.equal(held(done("pause"), done("resume", { outcome: "failed" })), true);
  assert.equal(held(done("pause"), done("resume")), false);
  assert.equal(held(done("pause"), done("resume"), done("pause")), true);
  // Said again, because its runtime has told more.
  assert.equal(held(done("pause"), startEvent(web), started(10, "100")), true);
  assert.equal(held(done("pause"), stopEvent(web), startEvent(web)), false);
  assert.equal(held(done("pause"), started(10, "200")), false);
  assert.equal(held(done("pause"), done("kill"), started(11, "100")), false, "what restarts it brings it back running");
});
