import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { applyRecords, emptyHostState, isHeld } from "../attest/host-state.ts";
import { actionEvent, containerOf, startEvent, stopEvent } from "../attest/sample-events.ts";
import { verifyLog } from "../attest/verify-log.ts";
import { containerKey } from "../container/types.ts";
import type { LogEvent } from "../log/event.ts";
import { segmentsToGoOn } from "../log/going-on.ts";
import { policySchema } from "../respond/policy.ts";
import { toldAgain } from "./rotation.ts";
import { container, image, LoneSweeper, program, reference } from "./sample-facts.ts";
import { TestSite } from "./testing.ts";

const SEGMENT_BYTES = 20_000;

test("a log goes on in new files, loses those that are proved, and says all that is needed to go on from it", async (t) => {
  const site = await TestSite.open(t);
  const folder = join(site.folder, "log");
  let paused = 0;
  const start = () =>
    site.startAgent(
      { segmentBytes: SEGMENT_BYTES, policy: policySchema.parse({ actions: { "unknown-executable": "pause" } }) },
      {
        sweeper: new LoneSweeper({ scope: "containers" }),
        lookUp: async () => ({ found: true, reference }),
        nameContainer: async (ref) => ({ ...ref, name: "busy", image, imageName: "busy:latest", labels: {} }),
        act: async () => `paused for the time ${++paused}`,
      },
    );
  const { agent, running } = start();
  agent.onUnlisted(program(0));
  agent.onUnlisted(program(1));
  const files = async () => (await readdir(folder)).filter((name) => name.endsWith(".jsonl"));
  const isPruned = async (): Promise<boolean> => {
    const [first] = await site.records().catch(() => []);
    return first?.events[0]?.type === "checkpoint" && (await files()).length === 1;
  };
  for (const end = performance.now() + 60_000; !(await isPruned()); await sleep(50))
    assert.ok(performance.now() < end, `no file was removed: ${await files()} ${site.said}`);
  agent.stop();
  await running;
  await site.log.close();

  // What is left agrees with the register, by itself.
  const value = await site.anchor.register.read();
  const report = await verifyLog(site.log.path, 13, { kind: "value", value });
  assert.ok(
    report.agrees && report.from > 0 && report.from + report.records === site.log.length,
    JSON.stringify(report),
  );
  const other = await verifyLog(site.log.path, 13, { kind: "value", value: new Uint8Array(32).fill(1) });
  assert.equal(other.reason, "pcr-mismatch");

  // And an agent that knows nothing else goes on from there.
  await site.openLog();
  const known = site.boot.state.containers.get(containerKey(container))!;
  assert.equal(known.stoppedAt, null);
  assert.equal(known.container.image, image);
  assert.deepEqual(
    [...known.violations.values()].map(({ object }) => object.path),
    ["/bin/p0", "/bin/p1"],
  );
  assert.deepEqual(
    known.actions.map(({ outcome }) => outcome),
    ["done"],
  );
  site.answers.length = 0;
  const again = start();
  again.agent.onUnlisted(program(1));
  await site.until("good evidence", ({ outcome, standing }) => outcome === "accepted" && standing === "good");
  again.agent.stop();
  await again.running;
  assert.equal(paused, 1, "it was paused before");
  const [reported] = (await site.report()).containers;
  assert.equal(reported?.status, "untrusted");
  assert.deepEqual(
    reported.findings.map(({ object }) => object.path),
    ["/bin/p0", "/bin/p1"],
    "each once",
  );
  assert.equal(reported.actions.length, 1);

  // Where a telling was cut short, the segment before it is needed.
  const told = await segmentsToGoOn(site.log.segmentsFrom(0));
  assert.equal(told.length, 1);
  const cut = await site.log.rotate(1);
  const gap = { type: "gap" as const, time: "2026-01-02T03:04:05.678Z", text: "" };
  await site.log.append([gap]);
  assert.equal((await segmentsToGoOn(site.log.segmentsFrom(0))).length, 2);
  await site.log.append([{ type: "agent-stop", time: gap.time }]);
  await site.log.append([actionEvent(containerOf("some"))]);
  assert.equal((await segmentsToGoOn(site.log.segmentsFrom(0))).length, 2);
  await site.log.rotate(2);
  await site.log.append([actionEvent(containerOf("some")), gap, startEvent(containerOf("some"))]);
  const enough = await segmentsToGoOn(site.log.segmentsFrom(0));
  assert.ok(enough.length === 1 && enough[0]!.from > cut.recnum);
});

test("what is told again says of a container that was paused and started again that it runs", () => {
  const one = containerOf("one");
  const stateOf = (events: readonly LogEvent[]) => {
    const state = emptyHostState();
    applyRecords(state, [{ recnum: 0, pcr: 13, digest: "", events }]);
    return state;
  };
  const unnamed: LogEvent = {
    type: "container-start",
    time: "2026-01-02T03:04:05.678Z",
    container: { ...one, image: null },
    imageName: "web:1",
    unresolved: "it is not there",
  };
  for (const [events, why] of [
    [[unnamed], "it is not there"],
    [[unnamed, startEvent(one)], null],
  ] as const) {
    const state = stateOf(events);
    for (const reader of [state, stateOf([...toldAgain(state)])])
      assert.deepEqual(
        [...reader.containers.values()].map(({ unresolved }) => unresolved),
        [why],
      );
  }
  const paused = [startEvent(one), actionEvent(one)];
  for (const [events, held] of [
    [paused, true],
    [[...paused, stopEvent(one), startEvent(one)], false],
  ] as const) {
    const state = stateOf(events);
    for (const reader of [state, stateOf([...toldAgain(state)])])
      assert.deepEqual([...reader.containers.values()].map(isHeld), [held]);
  }
});
