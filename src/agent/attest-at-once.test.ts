// What is found is proved at once, and how long that took is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOf, findingOf } from "../attest/sample-events.ts";
import type { ContainerName } from "../log/finding.ts";
import { TestSite } from "./testing.ts";
import type { VerifierClient } from "./verifier-client.ts";

const HOUR_MS = 3_600_000;
const app = { ...containerOf("app"), image: null };
const REF = { runtime: app.runtime, id: app.id };

/** A finding of its own for each number. */
const found = (number: number) => (container: ContainerName) =>
  findingOf(container, { pid: 1000 + number, reason: "exec-denied", pages: [] });

test("a violation is proved at once, also when other evidence is on its way, and it is told how long it waited", async (t) => {
  const site = await TestSite.open(t);
  const { client } = site;
  /** Evidence that is sent while this is set waits for it. */
  let held: PromiseWithResolvers<void> | undefined;
  let sent = 0;
  const verifier: VerifierClient = Object.assign(Object.create(client), {
    nonce: () => client.nonce(),
    wanted: (...args: Parameters<VerifierClient["wanted"]>) => client.wanted(...args),
    async evidence(...args: Parameters<VerifierClient["evidence"]>) {
      sent++;
      await held?.promise;
      return client.evidence(...args);
    },
  });
  const { agent } = site.startAgent({ attestIntervalMs: HOUR_MS }, { verifier });
  const until = async (what: string, holds: () => boolean | Promise<boolean>) => {
    for (const end = performance.now() + 20_000; performance.now() < end; await new Promise((r) => setTimeout(r, 20)))
      if (await holds()) return;
    assert.fail(`${what} did not happen: ${site.said.join("; ")}`);
  };
  const proved = async () => {
    const { containers } = await site.report();
    const ours = containers.filter(({ container }) => container.id === app.id);
    return ours.flatMap(({ findings }) => findings.map(({ pid }) => pid)).toSorted();
  };
  await until("the first evidence", async () => (await site.report()).evidence === "good");

  agent.onRefused(REF, found(1));
  await until("the proof of the first", async () => (await proved()).includes(1001));

  held = Promise.withResolvers();
  const before = sent;
  agent.onRefused(REF, found(2));
  await until("evidence on its way", () => sent > before);
  agent.onRefused(REF, found(3));
  const waited = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(await proved(), [1001]);
  held.resolve();
  held = undefined;
  await until("the proof of both", async () => (await proved()).length === 3);
  const waitedMs = performance.now() - waited;

  // What it came to is told with the next evidence.
  agent.onRefused(REF, found(4));
  await until("what it came to", async () => ((await site.report()).longestUnprovedMs ?? 0) >= 300);
  const { longestUnprovedMs } = await site.report();
  assert.ok(longestUnprovedMs! < waitedMs + 10_000, `${longestUnprovedMs} ms`);
});
