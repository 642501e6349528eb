import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openTpmAnchor, type TpmAnchor } from "../../src/agent/tpm-anchor.ts";
import { VerifierClient } from "../../src/agent/verifier-client.ts";
import type { VerifierView } from "../../src/demo/verifier-view.ts";
import { LOG_FILE } from "../../src/log/measurement-log.ts";
import { startSwtpm } from "../../src/tpm/swtpm.ts";
import { Follower } from "./follower.ts";

const OPEN_MS = 60_000;

/** A machine with a TPM and a log, known to the verifier, whose process can be killed. */
export class Machine {
  readonly host: string;
  readonly follower = new Follower();
  readonly #folder: string;
  readonly #url: string;
  readonly #token: string;
  readonly #address: string;
  readonly #anchor: TpmAnchor;
  readonly #stop: () => Promise<void>;
  readonly #bootId = randomUUID();
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #problem: unknown;

  private constructor(
    host: string,
    folder: string,
    url: string,
    token: string,
    tpm: { address: string; anchor: TpmAnchor; stop: () => Promise<void> },
  ) {
    this.host = host;
    this.#folder = folder;
    this.#url = url;
    this.#token = token;
    this.#address = tpm.address;
    this.#anchor = tpm.anchor;
    this.#stop = tpm.stop;
  }

  static async start(host: string, folder: string, url: string, joinToken: string): Promise<Machine> {
    const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
    try {
      const anchor = await openTpmAnchor(swtpm.address, 13);
      const token = await new VerifierClient(url, host).enroll(anchor, joinToken);
      const stop = async () => {
        await anchor.close();
        await swtpm.stop();
        await rm(folder, { recursive: true, force: true });
      };
      return new Machine(host, folder, url, token, { address: swtpm.address, anchor, stop });
    } catch (error) {
      await swtpm.stop();
      throw error;
    }
  }

  /** Starts the process. How many events it counts when it has opened its log and waits; null when it was killed before. */
  async startProcess(): Promise<number | null> {
    const program = join(import.meta.dirname, "appender.ts");
    const args = [program, join(this.#folder, "log"), this.#address, this.#bootId, this.#url, this.host, this.#token];
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", process.execPath, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NODE_COMPILE_CACHE: join(this.#folder, "..", "compiled") },
    });
    this.#child = child;
    child.stdin.on("error", () => {});
    const lines = createInterface({ input: child.stdout });
    const opened = Promise.withResolvers<number | null>();
    const timer = setTimeout(() => opened.reject(new Error("the process does not open its log")), OPEN_MS);
    lines.on("line", (line) => {
      const [, held] = /^open (\d+)$/.exec(line) ?? [];
      if (held !== undefined) opened.resolve(Number(held));
      try {
        this.follower.hear(line);
      } catch (error) {
        this.#problem ??= error;
      }
    });
    this.#ended = Promise.all([once(child, "close"), once(lines, "close")]);
    child.once("exit", (_code, signal) => {
      if (signal !== "SIGKILL") opened.reject(new Error("the process ended by itself"));
      opened.resolve(null);
    });
    try {
      return await opened.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Throws what does not agree while the process, which counts `held` events, waits. */
  async judge(held: number, view: VerifierView): Promise<void> {
    const path = join(this.#folder, "log", LOG_FILE);
    await this.follower.check(path, await this.#anchor.register.read(), held, view);
    await this.follower.compare(view);
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** Lets the process append. */
  letGo(): void {
    this.#child?.stdin?.write("go\n");
  }

  /** Kills the process and hears what it had said. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#ended;
    this.#child = undefined;
  }

  async stop(): Promise<void> {
    await this.kill();
    await this.#stop();
  }
}
