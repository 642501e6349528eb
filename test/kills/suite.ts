import { randomInt } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describeError } from "../../src/core/errors.ts";
import { type PimsProcess, startPims } from "../../src/demo/pims-process.ts";
import { VerifierView } from "../../src/demo/verifier-view.ts";
import { joinToken } from "../../src/verifier/testing.ts";
import { Machine } from "./machine.ts";

const READY_MS = 30_000;
/** Another machine takes over after so many kills, so that reading the log does not take longer and longer. */
const KILLS_A_MACHINE = 100;
/** One kill in so many comes while the log is opened, the others while it is appended to. */
const EARLY = 4;
/** One round in so many kills the verifier, too. */
const VERIFIER_KILLS = 12;
/** A process lives for so long after it has opened its log, at most; most are killed sooner. */
const LONGEST_MS = 400;

export interface KillCounts {
  passed: number;
  failed: number;
  early: number;
  verifier: number;
  /** Records that were removed with their segment once they were proved. */
  pruned: number;
  /** Numbered events, records, and those of them that the verifier has proved. */
  events: number;
  records: number;
  proved: number;
}

/** Kills a process that appends to a log, at random and again and again, and looks at each start whether all agree. */
export class KillSuite {
  readonly #folder: string;
  readonly #report: (problem: string) => void;
  readonly counts: KillCounts = {
    passed: 0,
    failed: 0,
    early: 0,
    verifier: 0,
    pruned: 0,
    events: 0,
    records: 0,
    proved: 0,
  };
  #verifier: PimsProcess | undefined;
  #address = "";
  #restarting: Promise<void> = Promise.resolve();

  constructor(folder: string, report: (problem: string) => void) {
    this.#folder = folder;
    this.#report = report;
  }

  /** Kills `count` times, or until `stop`. */
  async run(count: number, stop: AbortSignal): Promise<void> {
    try {
      await this.#startVerifier(0);
      for (let number = 0, left = count; left > 0 && !stop.aborted; number++) {
        const kills = Math.min(KILLS_A_MACHINE, left);
        left -= kills;
        await this.#runMachine(number, kills, stop);
      }
    } finally {
      await this.#restarting.catch(() => {});
      await this.#verifier?.kill();
    }
  }

  async #runMachine(number: number, kills: number, stop: AbortSignal): Promise<void> {
    await this.#restarting;
    const host = `host-${number}`;
    const token = await joinToken({ address: this.#address }, join(this.#folder, "verifier"), host);
    const machine = await Machine.start(host, join(this.#folder, `m${number}`), this.#address, token);
    // Kills that no start has judged yet: those that came before the log was open again.
    let unjudged = 0;
    try {
      for (let kill = 0; kill < kills && !stop.aborted; kill++) {
        const early = randomInt(EARLY) === 0;
        if (early) await this.#killEarly(machine);
        else {
          await this.#judge(machine);
          this.counts.passed += unjudged;
          unjudged = 0;
          machine.letGo();
          if (randomInt(VERIFIER_KILLS) === 0) this.#restartVerifier();
          await sleep(Math.random() ** 2 * LONGEST_MS);
          await machine.kill();
        }
        unjudged++;
      }
      await this.#judge(machine);
      this.counts.passed += unjudged;
    } catch (error) {
      this.counts.failed += Math.max(1, unjudged);
      this.#report(`${machine.host}: ${describeError(error)}`);
    } finally {
      this.counts.events += machine.follower.events;
      this.counts.records += machine.follower.lines.length;
      this.counts.pruned += machine.follower.pruned;
      this.counts.proved += machine.follower.proved;
      await machine.stop();
    }
  }

  /** Starts the process; when it has opened its log, everything must agree. */
  async #judge(machine: Machine): Promise<void> {
    const held = await machine.startProcess();
    if (held === null) throw new Error("the process was killed by somebody else");
    await this.#restarting;
    await machine.judge(held, new VerifierView(this.#address, machine.host));
  }

  async #killEarly(machine: Machine): Promise<void> {
    const opened = machine.startProcess();
    opened.catch(() => {});
    await sleep(Math.random() * LONGEST_MS);
    await machine.kill();
    await opened;
    this.counts.early++;
  }

  #restartVerifier(): void {
    this.#restarting = this.#restarting.then(async () => {
      await sleep(Math.random() * LONGEST_MS);
      await this.#verifier?.kill();
      this.counts.verifier++;
      await this.#startVerifier(Number(new URL(this.#address).port));
    });
    // Whoever needs the verifier next hears of it.
    this.#restarting.catch(() => {});
  }

  async #startVerifier(port: number): Promise<void> {
    const config = join(this.#folder, "verifier.json");
    const content = {
      state: join(this.#folder, "verifier"),
      listen: { port },
      ledger: { url: "http://127.0.0.1:1", registry: `0x${"00".repeat(20)}` },
      enrollment: { uncertified: true },
      staleAfterMs: 3_600_000,
      maxPauseMs: 3_600_000,
    };
    await writeFile(config, JSON.stringify(content));
    this.#verifier = startPims(["verifier", "run", "--config", config]);
    const [, address] = await this.#verifier.waitFor(/listens on (\S+)/, READY_MS);
    this.#address = address!;
  }
}
