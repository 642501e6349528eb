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
  // One that had begun comes to its end.
  await new Promise((resolve) => setTimeout(resolve, 500));
  answers.length = 0;
  agent.onRefused({ runtime: app.runtime, id: app.id }, (container) => findingOf(container));
  const stale = await site.until("evidence of it", ({ outcome }) => outcome === "accepted");
  assert.equal(stale.standing, "stale");
  const { containers } = await site.report();
  assert.deepEqual(
    containers.map(({ status, findings }) => [status, findings.length]),
    [["untrusted", 1]],
  );
  sweeper.letGo();
  await site.until("good evidence again", ({ standing }) => standing === "good");
});
