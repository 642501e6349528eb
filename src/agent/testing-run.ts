// What tests of whole agents share: a TPM, a verifier, and agents that run in this process as the command runs them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { requestJson } from "../attest/http.ts";
import { invite, writeJoinFile } from "../attest/operator.ts";
import { type HostReport, hostReportSchema } from "../attest/report.ts";
import { LOG_FILE, LOG_FOLDER } from "../log/measurement-log.ts";
import { readLog } from "../log/read-log.ts";
import { type LogRecord, parseRecord } from "../log/record.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { OPERATOR_TOKEN_FILE, type VerifierConfig, verifierConfigSchema } from "../verifier/config.ts";
import { runVerifier } from "../verifier/run.ts";
import { operatedBy } from "../verifier/testing.ts";
import { agentConfigSchema } from "./config.ts";
import { runAgent } from "./run.ts";

const WAIT_MS = 60_000;
const HOST = "host-1";

export interface RunningAgent {
  /** Settles when the agent has ended: with the error that ended it, or null. */
  readonly ended: Promise<Error | null>;
  stop(): Promise<void>;
}

function verifierConfig(folder: string, register: number | string, port: number): VerifierConfig {
  const state = join(folder, "verifier");
  const enrollment = { uncertified: true };
  return verifierConfigSchema.parse({ state, listen: { port }, ledger: NO_LEDGER, pcr: register, enrollment });
}

/** Ends with the test. */
export class AgentSite {
  readonly folder: string;
  readonly tpm: string;
  readonly #address: string;
  readonly #register: number | string;
  readonly #closing: (() => unknown)[];
  readonly closeVerifier: () => Promise<void>;
  /** Options of commands that the verifier's operator gives. */
  readonly operator: readonly string[];

  private constructor(
    folder: string,
    tpm: string,
    register: number | string,
    verifier: { address: string; close(): Promise<void> },
    closing: (() => unknown)[],
  ) {
    this.folder = folder;
    this.tpm = tpm;
    this.#address = verifier.address;
    this.operator = [
      ...["--verifier", verifier.address],
      ...["--operator-token", join(folder, "verifier", OPERATOR_TOKEN_FILE)],
    ];
    this.#register = register;
    this.#closing = closing;
    let closed: Promise<void> | undefined;
    this.closeVerifier = () => (closed ??= verifier.close());
    closing.push(this.closeVerifier);
  }

  static async open(t: TestContext, register: number | string = 13): Promise<AgentSite> {
    const folder = await mkdtemp(join(tmpdir(), "pims-agent-"));
    const closing: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true })];
    t.after(async () => {
      for (const close of closing.reverse()) await close();
    });
    const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
    closing.push(() => swtpm.stop());
    const verifier = await runVerifier(verifierConfig(folder, register, 0));
    // For several agents, one after the other.
    const wish = { host: null, uncertified: true, anew: false, uses: 100, hours: 1 };
    const operated = await operatedBy(verifier, join(folder, "verifier"));
    await writeJoinFile(join(folder, "join.json"), await invite(operated, wish));
    return new AgentSite(folder, swtpm.address, register, verifier, closing);
  }

  /** Ends the verifier, changes something, and starts it again at the same address. */
  async restartVerifier(change: () => Promise<unknown>): Promise<void> {
    await this.closeVerifier();
    await change();
    const { port } = new URL(this.#address);
    const verifier = await runVerifier(verifierConfig(this.folder, this.#register, Number(port)));
    this.#closing.push(() => verifier.close());
  }

  /** Starts an agent with its state in this folder. */
  startAgent(changes: Record<string, unknown> = {}): RunningAgent {
    const config = agentConfigSchema.parse({
      host: HOST,
      state: join(this.folder, "agent"),
      tpm: this.tpm,
      pcr: this.#register,
      verifier: { joinFile: join(this.folder, "join.json") },
      ledger: NO_LEDGER,
      sweepIntervalMs: 200,
      attestIntervalMs: 200,
      gate: { mode: "off" },
      ...changes,
    });
    const stopping = new AbortController();
    const ended = runAgent(config, stopping.signal, () => {}).then(
      () => null,
      (error: Error) => error,
    );
    const stop = async () => {
      stopping.abort();
      await ended;
    };
    this.#closing.push(stop);
    return { ended, stop };
  }

  report(): Promise<HostReport> {
    return requestJson(this.#address, `/v1/hosts/${HOST}`, hostReportSchema, { method: "GET", timeoutMs: 5000 });
  }

  async until(what: string, holds: (report: HostReport) => boolean): Promise<HostReport> {
    let last: HostReport | undefined;
    for (const end = performance.now() + WAIT_MS; performance.now() < end; await sleep(50)) {
      last = await this.report().catch(() => undefined);
      if (last !== undefined && holds(last)) return last;
    }
    throw new Error(`${what} did not happen: ${JSON.stringify(last)}`);
  }

  async records(state = "agent"): Promise<LogRecord[]> {
    const { lines } = await readLog(join(this.folder, state, LOG_FOLDER, LOG_FILE));
    return lines.map((line, index) => parseRecord(line, index));
  }
}

const NO_LEDGER = { url: "http://127.0.0.1:1", registry: `0x${"00".repeat(20)}` };
