import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { requestJson } from "../attest/http.ts";
import { hostReportSchema } from "../attest/report.ts";
import { systemClock } from "../core/clock.ts";
import type { SweepEvent } from "../log/event.ts";
import { MeasurementLog } from "../log/measurement-log.ts";
import { readLog } from "../log/read-log.ts";
import { parseRecord } from "../log/record.ts";
import { Sweeper, type SweepResult } from "../measure/sweep.ts";
import { policySchema } from "../respond/policy.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { verifierConfigSchema } from "../verifier/config.ts";
import { JOIN_TOKEN_FILE, runVerifier } from "../verifier/run.ts";
import { Agent } from "./agent.ts";
import { openTpmAnchor } from "./tpm-anchor.ts";
import { VerifierClient } from "./verifier-client.ts";

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

/** What the verifier makes of a piece of evidence, and what its report says right afterwards. */
interface Answer {
  readonly outcome: string;
  readonly standing: string;
  readonly text: string;
}

test("a sweeper that hangs under a living agent is told of, and does not keep the agent from stopping", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "pims-hanging-"));
  const closing: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true })];
  t.after(async () => {
    for (const close of closing.reverse()) await close();
  });
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  closing.push(() => swtpm.stop());
  const ledger = { url: "http://127.0.0.1:1", registry: `0x${"00".repeat(20)}` };
  const state = join(folder, "verifier");
  const verifier = await runVerifier(
    verifierConfigSchema.parse({
      state,
      listen: { port: 0 },
      ledger,
      maxPauseMs: 6000,
      enrollment: { uncertified: true },
    }),
  );
  closing.push(() => verifier.close());
  const anchor = await openTpmAnchor(swtpm.address, 13);
  closing.push(() => anchor.close());
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const { log } = await MeasurementLog.open(join(folder, "log"), anchor.register, bootId);
  closing.push(() => log.close());
  const client = new VerifierClient(verifier.url, "host-1");
  const joinToken = (await readFile(join(state, JOIN_TOKEN_FILE), "utf8")).trim();
  client.useToken(await client.enroll(anchor, joinToken));

  const answers: Answer[] = [];
  const report = () =>
    requestJson(`${verifier.url}/v1/hosts/host-1`, hostReportSchema, { method: "GET", timeoutMs: 5000 });
  const watched = Object.assign(Object.create(client) as VerifierClient, {
    nonce: () => client.nonce(),
    wanted: (...args: Parameters<VerifierClient["wanted"]>) => client.wanted(...args),
    evidence: async (...args: Parameters<VerifierClient["evidence"]>) => {
      const outcome = await client.evidence(...args);
      const { evidence, text } = await report();
      answers.push({ outcome: outcome.accepted ? "accepted" : outcome.reason, standing: evidence, text });
      return outcome;
    },
  });
  const until = async (what: string, holds: (answer: Answer) => boolean): Promise<Answer> => {
    for (const end = performance.now() + 60_000; performance.now() < end; await new Promise((r) => setTimeout(r, 50))) {
      const found = answers.find(holds);
      if (found !== undefined) return found;
    }
    throw new Error(`${what} did not happen: ${JSON.stringify(answers.at(-1))}`);
  };

  const sweeper = new HangingSweeper({ scope: "containers" });
  const agent = new Agent(
    { version: "test", sweepIntervalMs: 100, attestIntervalMs: 200, sweepWaitMs: 8000, policy: policySchema.parse({}) },
    {
      log,
      records: [],
      sweeper,
      verifier: watched,
      quote: anchor.quote,
      clock: systemClock,
      lookUp: async () => ({ found: false, reason: "no-baseline", text: "there is none" }),
      nameContainer: async (container) => ({ ...container, name: "", image: null, imageName: null, labels: {} }),
      enrollAgain: async () => false,
      pause: async () => "",
      report: () => {},
    },
  );
  const running = agent.run();
  closing.push(() => {
    agent.stop();
    return running.catch(() => {});
  });

  await until("good evidence", ({ outcome, standing }) => outcome === "accepted" && standing === "good");
  sweeper.hang();
  answers.length = 0;
  const hung = await until("a refusal", ({ outcome }) => outcome === "coverage-stale");
  assert.equal(hung.standing, "refused");
  assert.match(hung.text, /not swept since its last evidence/);
  const { lines } = await readLog(log.path);
  const sweeps = lines
    .flatMap((line, index) => parseRecord(line, index).events)
    .filter((event): event is SweepEvent => event.type === "sweep");
  const told = sweeps.find((event) => event.sweeps === 0);
  assert.ok(told !== undefined && told.longestPauseMs >= 7500, JSON.stringify(told));

  answers.length = 0;
  sweeper.letGo();
  const late = await until("evidence with the pause in it", ({ outcome }) => outcome === "accepted");
  assert.equal(late.standing, "stale");
  assert.match(late.text, /^no sweep of the host ended for \d+\.\d s, and 6\.0 s are allowed$/);
  await until("good evidence again", ({ outcome, standing }) => outcome === "accepted" && standing === "good");

  sweeper.hang();
  // A sweep begins each 100 ms: one hangs now.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  agent.stop();
  await running;
  sweeper.letGo();
  const last = (await readLog(log.path)).lines.at(-1)!;
  assert.match(new TextDecoder().decode(typeof last === "string" ? Buffer.from(last) : last), /"agent-stop"/);
});
