import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOf, findingOf } from "../attest/sample-events.ts";
import type { SweepEvent } from "../log/event.ts";
import { Sweeper, type SweepResult } from "../measure/sweep.ts";
import { TestSite } from "./testing.ts";

const app = { ...containerOf("app"), image: null };

/** The fault that is injected: a sweep that does not come back until it is let go. */
class HangingSweeper extends Sweeper {
  #held: PromiseWithResolvers<void> | undefined;

  hang(): void {
    this.#held = Promise.withResolvers();
  }

  letGo(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  override async sweep(): Promise<SweepResult> {
    await this.#held?.promise;
    return super.sweep();
  }
}

test("a sweeper that hangs under a living agent is told of, and does not keep the agent from stopping", async (t) => {
  const site = await TestSite.open(t, { verifier: { maxPauseMs: 6000 } });
  const { answers } = site;
  const sweeper = new HangingSweeper({ scope: "containers" });
  const { agent, running } = site.startAgent({ sweepWaitMs: 8000 }, { sweeper });

  await site.until("good evidence", ({ outcome, standing }) => outcome === "accepted" && standing === "good");
  sweeper.hang();
  answers.length = 0;
  const hung = await site.until("stale evidence", ({ standing }) => standing === "stale");
  assert.equal(hung.outcome, "accepted");
  assert.match(hung.text, /^(the host was not swept since its last evidence|no sweep of the host ended for)/);
  const sweeps = (await site.records())
    .flatMap(({ events }) => events)
    .filter((event): event is SweepEvent => event.type === "sweep");
  const told = sweeps.find((event) => event.sweeps === 0);
  assert.ok(told !== undefined && told.longestPauseMs >= 7500, JSON.stringify(told));

  answers.length = 0;
  sweeper.letGo();
  const late = await site.until("evidence with the pause in it", ({ outcome }) => outcome === "accepted");
  assert.equal(late.standing, "stale");
  assert.match(late.text, /^no sweep of the host ended for \d+\.\d s, and 6\.0 s are allowed$/);
  await site.until("good evidence again", ({ outcome, standing }) => outcome === "accepted" && standing === "good");

  sweeper.hang();
  // A sweep begins each 100 ms: one hangs now.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  agent.stop();
  await running;
  sweeper.letGo();
  assert.equal((await site.records()).at(-1)?.events.at(-1)?.type, "agent-stop");
});

test("what is found while the sweeper hangs is proved without it, and the host is stale until it comes back", async (t) => {
  const site = await TestSite.open(t);
  const { answers } = site;
  const sweeper = new HangingSweeper({ scope: "containers" });
  const { agent } = site.startAgent({ sweepWaitMs: 600_000, attestIntervalMs: 600_000 }, { sweeper });
  await site.until("good evidence", ({ outcome, standing }) => outcome === "accepted" && standing === "good");
  sweeper.hang();
  // The machine may have other containers.
  const reported = async () => {
    const { evidence, containers } = await site.report();
    return { evidence, ours: containers.find(({ container }) => container.id === app.id) };
  };
  // The first may still have sweeps to tell of, that had begun or ended before.
  const endMs = performance.now() + 25_000;
  for (let found = 1, standing = "good"; standing === "good"; found++) {
    agent.onRefused({ runtime: app.runtime, id: app.id }, (container) => findingOf(container, { pid: 1000 + found }));
    for (let proved = 0; proved < found; await new Promise((resolve) => setTimeout(resolve, 50))) {
      assert.ok(performance.now() < endMs, "it is not proved, or not stale");
      const { evidence, ours } = await reported();
      proved = ours?.findings.length ?? 0;
      if (proved === found) standing = evidence;
    }
    assert.match(standing, /^(good|stale)$/);
  }
  assert.equal((await reported()).ours?.status, "untrusted");
  answers.length = 0;
  sweeper.letGo();
  await site.until("good evidence again", ({ standing }) => standing === "good");
});
