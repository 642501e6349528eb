import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../core/clock.ts";
import type { LogEvent } from "../log/event.ts";
import { policySchema } from "../respond/policy.ts";
import { TPM_CC } from "../tpm/constants.ts";
import { commandCode, type Fate } from "../tpm/relay.ts";
import { LogQueue } from "./log-queue.ts";
import { container, image, LoneSweeper, program, reference } from "./sample-facts.ts";
import { TestSite } from "./testing.ts";

/** What a real TPM takes for a command. */
const COMMAND_MS = 20;

/** An agent's site on a TPM that takes its time; it counts extends, and stands still between `hold` and `letGo`. */
async function slowSite(t: TestContext) {
  let stands = Promise.withResolvers<void>();
  stands.resolve();
  const tpm = {
    extends: 0,
    hold: () => {
      stands = Promise.withResolvers();
    },
    letGo: () => stands.resolve(),
  };
  t.after(() => tpm.letGo());
  const site = await TestSite.open(t, {
    fateOf: async (command): Promise<Fate> => {
      await stands.promise;
      await sleep(COMMAND_MS);
      if (commandCode(command) === TPM_CC.PCR_Extend) tpm.extends++;
      return "pass";
    },
  });
  return { site, tpm };
}

const events = async (site: TestSite): Promise<LogEvent[]> => (await site.records()).flatMap((record) => record.events);

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await sleep(100)) if (await holds()) return;
  throw new Error(`${what} did not happen`);
}

test("with a TPM of 50 extends a second, 500 new programs a second are logged, judged, acted on and proved", async (t) => {
  const { site, tpm } = await slowSite(t);
  const paused: string[] = [];
  const { agent, running } = site.startAgent(
    { policy: policySchema.parse({ actions: { "unknown-executable": "pause" } }) },
    {
      sweeper: new LoneSweeper({ scope: "containers" }),
      lookUp: async () => ({ found: true, reference }),
      nameContainer: async (ref) => ({ ...ref, name: "busy", image, imageName: "busy:latest", labels: {} }),
      act: async (_action, { id }) => {
        // What it is paused for is in the log by now.
        assert.ok((await events(site)).some(({ type }) => type === "violation"));
        paused.push(id);
        return "paused";
      },
    },
  );
  await site.until("good evidence", ({ outcome }) => outcome === "accepted");
  const before = tpm.extends;
  const start = performance.now();
  const SECONDS = 4;
  for (let number = 0; number < 500 * SECONDS; number++) {
    agent.onUnlisted(program(number));
    if (number % 10 === 9) await sleep(Math.max(0, start + (number + 1) * 2 - performance.now()));
  }
  const count = async (type: string) => (await events(site)).filter((event) => event.type === type).length;
  await until("all violations", async () => (await count("violation")) === 500 * SECONDS);
  const seconds = (performance.now() - start) / 1000;
  // It keeps up: what came in so many seconds is not waited for much longer, however busy this machine is.
  assert.ok(seconds < SECONDS * 5, `${seconds} s`);
  assert.ok(tpm.extends - before < 100 * seconds, `${tpm.extends - before} extends in ${seconds} s`);
  await until("proof of all", async () => (await site.report()).containers[0]?.findings.length === 500 * SECONDS);
  agent.stop();
  await running;

  const all = await events(site);
  assert.equal(all.filter(({ type }) => type === "gap").length, 0, "nothing is left out");
  assert.deepEqual(paused, [container.id], "once");
  const seen = new Set<string>();
  for (const event of all) {
    if (event.type === "container-start") seen.add("container");
    if (event.type === "code") {
      assert.ok(seen.has("container"), "the container before its code");
      seen.add(event.object.digest!);
    }
    if (event.type === "violation") {
      assert.ok(seen.has(event.object.digest!), "the fact before the violation");
      seen.add("violation");
    }
    if (event.type === "action") assert.ok(seen.has("violation"), "the violation before the action");
  }
  for (const record of await site.records()) {
    const at = record.events.findIndex(({ type }) => type === "sweep");
    assert.ok(at === -1 || at === record.events.length - 1, "the sweep ends its record");
  }
  assert.ok(site.answers.every(({ outcome }) => outcome === "accepted"));
});

test("what comes faster than it can be logged is bounded, told as a gap, and does not end the agent", async (t) => {
  const { site, tpm } = await slowSite(t);
  const { agent, running } = site.startAgent(
    {},
    {
      sweeper: new LoneSweeper({ scope: "containers" }),
      nameContainer: async (ref) => ({ ...ref, name: "busy", image: null, imageName: null, labels: {} }),
    },
  );
  await site.until("good evidence", ({ outcome }) => outcome === "accepted");
  tpm.hold();
  const FLOOD = 100_000;
  for (let number = 0; number < FLOOD; number++) {
    agent.onUnlisted(program(number));
    if (number % 1000 === 0) await sleep(0);
  }
  agent.onExec([], true);
  tpm.letGo();
  const gaps = async () => (await events(site)).flatMap((event) => (event.type === "gap" ? [event.text] : []));
  await until("both gaps", async () => (await gaps()).length >= 2);
  site.answers.length = 0;
  await site.until("evidence afterwards", ({ outcome }) => outcome === "accepted");
  agent.stop();
  await running;
  // The sweeper is a real one, and this machine may have other containers.
  const isOurs = (event: LogEvent) => event.type === "code" && event.container.id === container.id;
  const logged = (await events(site)).filter(isOurs).length;
  const told = await gaps();
  const left = told.reduce((sum, text) => {
    const times = /left out: (once|\d+ times)/.exec(text)?.[1] ?? "0";
    return sum + (times === "once" ? 1 : Number.parseInt(times, 10));
  }, 0);
  assert.equal(logged + left, FLOOD, "each is logged or counted");
  assert.ok(logged >= 1000 && logged <= 16_384, String(logged));
  assert.ok(told.some((text) => /^programs were executed faster than they are measured/.test(text)));
});

test("a queue that is full lets in who can wait, in order, and tells everybody when an append fails", async (t) => {
  const { site, tpm } = await slowSite(t);
  const added: string[] = [];
  const queue = new LogQueue(site.log, systemClock, (event) => added.push((event as { text: string }).text));
  const gap = (text: string): LogEvent => ({ type: "gap", time: "2026-01-02T03:04:05.678Z", text });
  tpm.hold();
  const patient = queue.addPatiently(Array.from({ length: 20_000 }, (_, number) => gap(`n ${number}`)));
  await sleep(50);
  assert.ok(added.length >= 8192 && added.length <= 8192 + 256, String(added.length));
  queue.add(Array.from({ length: 256 }, (_, number) => gap(`must ${number}`)));
  assert.ok(queue.isFull);
  const sealed = queue.seal(gap("sealed"), async () => (await site.records()).at(-1)!.events.at(-1));
  tpm.letGo();
  assert.deepEqual(await sealed, gap("sealed"), "nothing comes after it while the work is done");
  await patient;
  await queue.written();
  const texts = (await events(site)).flatMap((event) => (event.type === "gap" ? [event.text] : []));
  assert.deepEqual(texts, added);
  assert.equal(texts.filter((text) => text.startsWith("n ")).length, 20_000);
  const full = (await site.records()).filter((record) => record.events.length === 256).length;
  assert.ok(full >= 20_000 / 256 - 4, `${full} records are full`);

  await site.log.close();
  const waiting = [queue.written()];
  queue.add([gap("lost")]);
  const refused = [queue.written(), queue.seal(gap("lost, too"), async () => {}), queue.failure];
  for (const one of refused) await assert.rejects(one);
  await Promise.all(waiting);
  assert.ok(queue.hasFailed);
  await assert.rejects(queue.written());
  await assert.rejects(queue.end([]));
});
