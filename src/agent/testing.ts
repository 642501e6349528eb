// What this room's tests share: an agent on a real TPM and log, and a real verifier that it is enrolled at.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { requestJson } from "../attest/http.ts";
import { hostReportSchema } from "../attest/report.ts";
import { systemClock } from "../core/clock.ts";
import { MeasurementLog } from "../log/measurement-log.ts";
import type { LogRecord } from "../log/record.ts";
import { segmentsAt } from "../log/scan-log.ts";
import { recordsOf } from "../log/segments.ts";
import { Sweeper } from "../measure/sweep.ts";
import { policySchema } from "../respond/policy.ts";
import { type Fate, startRelay } from "../tpm/relay.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { type VerifierConfig, verifierConfigSchema } from "../verifier/config.ts";
import { runVerifier } from "../verifier/run.ts";
import { joinToken } from "../verifier/testing.ts";
import { Agent, type AgentModules, type AgentOptions } from "./agent.ts";
import { type EarlierBoots, readState } from "./earlier-boots.ts";
import { openTpmAnchor, type TpmAnchor } from "./tpm-anchor.ts";
import { VerifierClient } from "./verifier-client.ts";

/** What the verifier makes of a piece of evidence, and what its report says right afterwards. */
export interface Answer {
  readonly outcome: string;
  readonly standing: string;
  readonly text: string;
}

/** Ends with the test. */
export class TestSite {
  readonly folder: string;
  readonly answers: Answer[] = [];
  /** What the agent told its operator. */
  readonly said: string[] = [];
  anchor!: TpmAnchor;
  log!: MeasurementLog;
  boot!: EarlierBoots;
  last: LogRecord | null = null;
  #bootId = "";
  #client!: VerifierClient;
  #address = "";
  readonly #closing: (() => unknown)[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** `fateOf` says what becomes of each command to the TPM. */
  static async open(
    t: TestContext,
    options: { verifier?: Partial<VerifierConfig>; fateOf?: (command: Uint8Array) => Fate | Promise<Fate> } = {},
  ): Promise<TestSite> {
    const site = new TestSite(await mkdtemp(join(tmpdir(), "pims-agent-")));
    site.#closing.push(() => rm(site.folder, { recursive: true, force: true }));
    t.after(async () => {
      for (const close of site.#closing.reverse()) await close();
    });
    const swtpm = await startSwtpm({ folder: join(site.folder, "tpm") });
    site.#closing.push(() => swtpm.stop());
    let { address } = swtpm;
    if (options.fateOf !== undefined) {
      const relay = await startRelay(join(site.folder, "relay"), address.slice("unix:".length), options.fateOf);
      site.#closing.push(() => relay.stop());
      address = relay.address;
    }
    const state = join(site.folder, "verifier");
    const verifier = await runVerifier(
      verifierConfigSchema.parse({
        state,
        listen: { port: 0 },
        ledger: { url: "http://127.0.0.1:1", registry: `0x${"00".repeat(20)}` },
        enrollment: { uncertified: true },
        ...options.verifier,
      }),
    );
    site.#closing.push(() => verifier.close());
    site.#address = verifier.address;
    site.anchor = await openTpmAnchor(address, 13);
    site.#closing.push(() => site.anchor.close());
    const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    site.#bootId = bootId;
    await site.openLog();
    site.#closing.push(() => site.log.close());
    site.#client = new VerifierClient(verifier.address, "host-1");
    const token = await joinToken(verifier, state, "host-1");
    site.#client.useToken(await site.#client.enroll(site.anchor, token));
    return site;
  }

  get client(): VerifierClient {
    return this.#client;
  }

  /** Opens the log, as an agent that starts does. */
  async openLog(): Promise<void> {
    const logs = join(this.folder, "log");
    const opened = await MeasurementLog.open(logs, this.anchor.register, this.#bootId);
    this.log = opened.log;
    Object.assign(this, await readState(logs, opened, (text) => void this.said.push(text)));
  }

  report() {
    return requestJson(this.#address, "/v1/hosts/host-1", hostReportSchema, { method: "GET", timeoutMs: 5000 });
  }

  /** An agent that runs until the test ends or it fails; `running` says how. */
  startAgent(options: Partial<AgentOptions> = {}, modules: Partial<AgentModules> = {}) {
    const client = this.#client;
    const watched = Object.assign(Object.create(client) as VerifierClient, {
      nonce: () => client.nonce(),
      wanted: (...args: Parameters<VerifierClient["wanted"]>) => client.wanted(...args),
      evidence: async (...args: Parameters<VerifierClient["evidence"]>) => {
        const outcome = await client.evidence(...args);
        const { evidence, text } = await this.report();
        this.answers.push({ outcome: outcome.accepted ? "accepted" : outcome.reason, standing: evidence, text });
        return outcome;
      },
    });
    const agent = new Agent(
      {
        version: "test",
        sweepIntervalMs: 100,
        attestIntervalMs: 200,
        segmentBytes: 67_108_864,
        policy: policySchema.parse({}),
        ...options,
      },
      {
        log: this.log,
        last: this.last,
        boot: this.boot,
        sweeper: new Sweeper({ scope: "containers" }),
        verifier: watched,
        quote: this.anchor.quote,
        clock: systemClock,
        lookUp: async () => ({ found: false, reason: "no-baseline", text: "there is none" }),
        nameContainer: async (container) => ({ ...container, name: "", image: null, imageName: null, labels: {} }),
        enrollAgain: async () => false,
        act: async () => "",
        report: (text) => void this.said.push(text),
        ...modules,
      },
    );
    const running = agent.run();
    this.#closing.push(() => {
      agent.stop();
      return running.catch(() => {});
    });
    return { agent, running };
  }

  /** Waits for such an answer of the verifier. */
  async until(what: string, holds: (answer: Answer) => boolean): Promise<Answer> {
    for (const end = performance.now() + 60_000; performance.now() < end; await new Promise((r) => setTimeout(r, 50))) {
      const found = this.answers.find(holds);
      if (found !== undefined) return found;
    }
    throw new Error(`${what} did not happen: ${JSON.stringify([this.answers.at(-1), this.said])}`);
  }

  async records(): Promise<LogRecord[]> {
    const { segments } = await segmentsAt(this.log.path);
    const records: LogRecord[] = [];
    for await (const record of recordsOf(segments)) records.push(record);
    return records;
  }
}
