import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import type { agentConfigSchema } from "../src/agent/config.ts";
import type { ContainerRef } from "../src/container/types.ts";
import { type PimsProcess, startPims } from "../src/demo/pims-process.ts";
import type { Platform } from "../src/demo/platform.ts";
import type { Watcher, Watching } from "./watcher.ts";

const READY_MS = 60_000;

/** How the agent is run, `ours` matching the bench's containers: what is not named here is as it is for everybody. */
function settings(ours: string): Partial<z.input<typeof agentConfigSchema>> {
  return { sweepIntervalMs: 1000, gate: { containers: [{ name: ours, mode: "enforce" }] } };
}

/** The real agent, with its TPM, its verifier and the chain. What `living` names it must find trusted. */
export class AgentWatcher implements Watcher {
  readonly name = "agent";
  readonly #platform: Platform;
  readonly #signal: AbortSignal;
  readonly #ours: string;
  readonly #living: () => readonly ContainerRef[];

  constructor(platform: Platform, signal: AbortSignal, ours: string, living: () => readonly ContainerRef[]) {
    this.#platform = platform;
    this.#signal = signal;
    this.#ours = ours;
    this.#living = living;
  }

  /** Comes back when a first sweep is over, attested and found good. Throws at its end when something was found meanwhile. */
  async start(): Promise<Watching> {
    const { folder, host, tpmAddress, pcr, ledger } = this.#platform;
    const config: z.input<typeof agentConfigSchema> = {
      host,
      state: join(folder, "agent"),
      tpm: tpmAddress,
      pcr,
      verifier: { joinFile: await this.#platform.invite() },
      ledger,
      ...settings(this.#ours),
    };
    const path = join(folder, "agent.json");
    await writeFile(path, JSON.stringify(config));
    const agent = startPims(["agent", "run", "--config", path]);
    try {
      await agent.waitFor(/the verifier accepts the evidence/, READY_MS);
      await this.#trusted("every container trusted");
    } catch (error) {
      await agent.stop();
      throw error;
    }
    return { pid: agent.pid, stop: () => this.#end(agent) };
  }

  async #end(agent: PimsProcess): Promise<void> {
    try {
      // What another container of this machine may be found for is none of ours.
      await this.#trusted("every container still trusted");
    } finally {
      await agent.stop();
    }
  }

  async #trusted(what: string): Promise<void> {
    const ids = this.#living().map(({ id }) => id);
    await this.#platform.view.waitUntil(what, READY_MS, this.#signal, ({ containers }) => {
      const ours = containers.filter(({ container }) => ids.includes(container.id));
      const bad = ours.find(({ status }) => status === "untrusted");
      if (bad !== undefined)
        throw new Error(
          `${bad.container.name} was found ${bad.status}: ${bad.findings.map(({ text }) => text).join("; ")}`,
        );
      return (
        ours.length === ids.length && ours.every(({ status, gate }) => status === "trusted" && gate?.mode === "enforce")
      );
    });
  }
}
