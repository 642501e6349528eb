// What the log says of a container whose image cannot be told, until it can.
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyRecords, emptyHostState, keyOf } from "../attest/host-state.ts";
import { containerOf, sweepEvent } from "../attest/sample-events.ts";
import { decide, noIdentity } from "../attest/verdict.ts";
import type { ContainerInfo } from "../container/types.ts";
import { systemClock } from "../core/clock.ts";
import { eventSchema, type LogEvent, MAX_UNRESOLVED } from "../log/event.ts";
import { emptyCoverage } from "../measure/gathering.ts";
import { Observed } from "./observed.ts";

test("why an image cannot be told is logged once and stands in the verdict, until the image is told", async () => {
  const { image, ...ref } = containerOf("one");
  const state = emptyHostState();
  let info: ContainerInfo = { ...ref, image: null, imageName: "web:1", labels: {} };
  const observed = new Observed(state, { clock: systemClock, nameContainer: async () => info });
  const containers = new Map([[keyOf(ref), { runtime: ref.runtime, id: ref.id }]]);
  const sweep = async (): Promise<LogEvent[]> => {
    const result = { coverage: emptyCoverage(), facts: [], containers, scrubCycleMs: null };
    const events = await observed.lifeEvents(result, true);
    for (const event of events) assert.equal(JSON.stringify(eventSchema.parse(event)), JSON.stringify(event));
    applyRecords(state, [{ recnum: 0, pcr: 13, digest: "", events: [...events, sweepEvent()] }]);
    return events;
  };
  const reasons = () => {
    const container = state.containers.get(keyOf(ref))!;
    return decide(state, container, noIdentity(container.unresolved), { standing: "good" }).reasons;
  };
  // Its runtime was silent at first.
  assert.equal((await sweep()).length, 1);
  assert.match(reasons()[0]!.text, /runtime does not say/);
  assert.equal((await sweep()).length, 0);
  info = { ...info, unresolved: "its content is not there".padEnd(5000) };
  assert.equal((await sweep()).length, 1);
  info = { ...info, unresolved: "another reason" };
  assert.equal((await sweep()).length, 0, "said once");
  const [{ reason, text }] = reasons() as [{ reason: string; text: string }];
  assert.deepEqual([reason, text], ["no-baseline", "its content is not there".padEnd(MAX_UNRESOLVED)]);
  const { unresolved: _gone, ...told } = info;
  info = { ...told, image };
  const [named] = await sweep();
  assert.ok(named?.type === "container-start" && named.container.image === image && !("unresolved" in named));
  const known = state.containers.get(keyOf(ref))!;
  assert.deepEqual([known.container.image, known.unresolved], [image, null]);
});
