import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readFileSync, readSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { containerOfProcess } from "../../container/cgroup.ts";
import type { ContainerRef } from "../../container/types.ts";
import { errorCode } from "../../core/errors.ts";
import { answerExec, OPEN_EXEC_PERM, openFanotify, parseFanotifyEvents } from "../../kernel/fanotify.ts";
import { parseStat } from "../../process/stat.ts";
import { containerKey } from "../sweep.ts";
import type { ListedFiles } from "./decide.ts";
import { closeEvent } from "./held-exec.ts";
import type { FromGate, GateState, Refusal, Settings, ToGate, Unanswered } from "./protocol.ts";

export interface GateEvents {
  /** A container has no settings yet: its programs wait for `settle`. */
  onAsk(container: ContainerRef): void;
  onRefused(refusal: Refusal): void;
  onStates(states: readonly GateState[]): void;
  /** Programs were answered for without being judged; one sentence. */
  onGap(text: string): void;
}

/** A baseline's files under the name that settings call them by. */
export interface NamedFiles extends ListedFiles {
  readonly name: string;
  readonly digests: Set<string>;
  readonly sizes: Set<bigint>;
}

const PROGRAM = join(import.meta.dirname, "gate-process.ts");
/** An inspector would let whoever reaches it allow everything; the rest keeps it small. */
const NODE_OPTIONS = ["--disable-sigusr1", "--disable-warning=ExperimentalWarning", "--max-semi-space-size=2"];
const TICK_MS = 100;
/** A gate that has shown no life for so long is taken for hung; with what then follows, nobody waits for a second. */
const HUNG_MS = 700;
/** The same of one that would run if it were given a processor. */
const STARVED_MS = 3000;
/** How long programs wait for a new gate before they are answered for. */
const PATIENCE_MS = 600;
/** The gate itself refuses long before (READ_DEADLINE_MS). */
const OLDEST_MS = 15_000;
/** A gate that ends soon after its start is not started again at once. */
const RESTART_MS = 1000;
const START_MS = 10_000;
/** Events are held under lower numbers of descriptors: MAX_HELD events, two for each, and what Node itself has open. */
const NUMBERS = 4096;

/**
 * Keeps a gate running, and holds a second copy of its fanotify group: so nobody is let go when the gate is killed. What
 * a dead gate had read is answered for by policy, what it had not is read by the next gate.
 */
export class GateSupervisor {
  readonly #group: number;
  readonly #unanswered: Unanswered;
  readonly #events: GateEvents;
  readonly #settings = new Map<string, { container: ContainerRef; settings: Settings }>();
  readonly #baselines = new Map<string, NamedFiles>();
  #states: readonly GateState[] = [];
  /** What the gates before this one had counted. */
  readonly #earlier = new Map<string, GateState>();
  readonly #timer: NodeJS.Timeout;
  readonly #watching = Promise.withResolvers<void>();
  #gate: ChildProcess | null = null;
  #ready = false;
  #closing = false;
  #startedMs = Number.NEGATIVE_INFINITY;
  /** Since when no gate reads. */
  #absentMs = performance.now();
  #tickMs = performance.now();
  #beatMs = 0;
  #turns = -1;
  #turnedMs = 0;
  #oldestMs = 0;

  /** Throws PimsError `system-call` where the kernel has no such thing or does not allow it. */
  constructor(unanswered: Unanswered, events: GateEvents) {
    this.#group = openFanotify();
    this.#unanswered = unanswered;
    this.#events = events;
    this.#start();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Process number of the gate, null while there is none. */
  get pid(): number | null {
    return this.#gate?.pid ?? null;
  }

  /** Settled when the first gate has found what there is: what starts from then on is asked about. */
  get watching(): Promise<void> {
    return this.#watching.promise;
  }

  /** Says what holds in a container; `files` are those of the baseline that the settings name. */
  settle(container: ContainerRef, settings: Settings, files: NamedFiles | null): void {
    if (files !== null && !this.#baselines.has(files.name)) {
      this.#baselines.set(files.name, files);
      this.#send({ type: "baseline", ...files });
    }
    this.#settings.set(containerKey(container), { container, settings });
    this.#send({ type: "container", container, settings });
    this.#forgetUnused();
  }

  /** A container has gone. */
  forget(container: ContainerRef): void {
    this.#settings.delete(containerKey(container));
    this.#earlier.delete(containerKey(container));
    this.#forgetUnused();
  }

  /** Ends the gate; who waits is let go by the kernel. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#timer);
    const gate = this.#gate;
    if (gate !== null && gate.exitCode === null && gate.signalCode === null) {
      const exited = once(gate, "exit");
      gate.kill("SIGKILL");
      await exited;
    }
    closeSync(this.#group);
  }

  #forgetUnused(): void {
    const used = new Set<string>();
    for (const { settings } of this.#settings.values())
      if (typeof settings.reference === "object") used.add(settings.reference.baseline);
    for (const name of this.#baselines.keys())
      if (!used.has(name)) {
        this.#baselines.delete(name);
        this.#send({ type: "forget", baseline: name });
      }
  }

  #start(): void {
    const { NODE_OPTIONS: _, ...env } = process.env;
    const gate = spawn(process.execPath, [...NODE_OPTIONS, PROGRAM], {
      stdio: ["ignore", "ignore", "inherit", "ipc", this.#group],
      serialization: "advanced",
      env: { ...env, UV_THREADPOOL_SIZE: "16" },
    });
    this.#gate = gate;
    this.#ready = false;
    this.#startedMs = performance.now();
    gate.on("message", (message: FromGate) => {
      if (gate === this.#gate) this.#take(message);
    });
    gate.once("exit", () => this.#ended(gate));
    // One that could not even be started never exits.
    gate.on("error", () => this.#ended(gate));
    try {
      if (gate.pid !== undefined) setPriority(gate.pid, -10);
    } catch (error) {
      // Whole containers wait for it; where that is not allowed it has to do without.
      if (!["EACCES", "EPERM", "ESRCH"].includes(errorCode(error) ?? "")) throw error;
    }
  }

  #take(message: FromGate): void {
    const nowMs = performance.now();
    switch (message.type) {
      case "ready":
        this.#ready = true;
        this.#beatMs = nowMs;
        this.#turnedMs = nowMs;
        for (const files of this.#baselines.values()) this.#send({ type: "baseline", ...files });
        for (const { container, settings } of this.#settings.values())
          this.#send({ type: "container", container, settings });
        this.#send({ type: "start", unanswered: this.#unanswered });
        return;
      case "watching":
        this.#watching.resolve();
        return;
      case "beat":
        this.#beatMs = nowMs;
        if (message.turns !== this.#turns) this.#turnedMs = nowMs;
        this.#turns = message.turns;
        this.#oldestMs = message.oldestMs;
        return;
      case "ask": {
        const known = this.#settings.get(containerKey(message.container));
        if (known === undefined) this.#events.onAsk(message.container);
        else this.#send({ type: "container", ...known });
        return;
      }
      case "refused":
        this.#events.onRefused(message.refusal);
        return;
      case "states":
        this.#states = message.states.map((state) => total(state, this.#earlier.get(containerKey(state.container))));
        this.#events.onStates(this.#states);
    }
  }

  #send(message: ToGate): void {
    if (this.#ready && this.#gate?.connected) this.#gate.send(message);
  }

  #tick(): void {
    const nowMs = performance.now();
    const lateMs = nowMs - this.#tickMs - TICK_MS;
    this.#tickMs = nowMs;
    if (this.#ready) {
      // Who has not been running itself has not heard anything either.
      if (lateMs > TICK_MS) {
        this.#beatMs = Math.max(this.#beatMs, nowMs - HUNG_MS / 2);
        this.#turnedMs = Math.max(this.#turnedMs, nowMs - HUNG_MS / 2);
      }
      // What it has sent meanwhile is looked at first.
      if (this.#isHung()) setImmediate(() => this.#endHung());
    } else {
      // One that does not get ready is replaced, too.
      if (nowMs - this.#startedMs > START_MS) this.#gate?.kill("SIGKILL");
      if (this.#gate === null && nowMs - this.#startedMs > RESTART_MS) this.#start();
      if (nowMs - this.#absentMs > PATIENCE_MS) this.#drain();
    }
  }

  #isHung(): boolean {
    if (!this.#ready || this.#oldestMs > OLDEST_MS) return this.#ready;
    const lifeMs = performance.now() - Math.min(this.#beatMs, this.#turnedMs);
    return lifeMs > STARVED_MS || (lifeMs > HUNG_MS && !isRunnable(this.#gate?.pid));
  }

  #endHung(): void {
    const gate = this.#gate;
    if (gate === null || !this.#isHung()) return;
    gate.kill("SIGKILL");
    // A process that cannot even die does nothing any more.
    this.#ended(gate);
  }

  #ended(gate: ChildProcess): void {
    if (gate !== this.#gate || this.#closing) return;
    const ready = this.#ready;
    this.#gate = null;
    this.#ready = false;
    if (ready) this.#absentMs = performance.now();
    for (const state of this.#states) this.#earlier.set(containerKey(state.container), state);
    // Before another one reads: it would hold events under the same numbers.
    const allow = this.#isAllowed(null);
    let answered = 0;
    for (let number = 0; number < NUMBERS; number++) if (answerExec(this.#group, number, allow)) answered++;
    if (ready) this.#tell("the gate had to be started anew", answered, allow);
    if (performance.now() - this.#startedMs > RESTART_MS) this.#start();
  }

  /** No gate comes: answers for it. */
  #drain(): void {
    const buffer = Buffer.alloc(64 * 1024);
    let [allowed, refused] = [0, 0];
    try {
      for (;;) {
        const events = parseFanotifyEvents(buffer.subarray(0, readSync(this.#group, buffer)));
        for (const event of events) {
          const allow = this.#isAllowed(event.pid);
          if ((event.mask & OPEN_EXEC_PERM) !== 0n && answerExec(this.#group, event.fd, allow))
            if (allow) allowed++;
            else refused++;
          closeEvent(event);
        }
      }
    } catch (error) {
      if (errorCode(error) !== "EAGAIN") throw error;
    }
    if (allowed > 0) this.#tell("there is no gate", allowed, true);
    if (refused > 0) this.#tell("there is no gate", refused, false);
  }

  /** What becomes of a program that nobody judges: whoever is only observed is never refused, where it is known who it is. */
  #isAllowed(pid: number | null): boolean {
    if (this.#unanswered === "allow") return true;
    const container = pid === null ? null : containerOfProcess(pid);
    const known = container === null ? undefined : this.#settings.get(containerKey(container));
    return known !== undefined && known.settings.mode !== "enforce";
  }

  #tell(why: string, count: number, allowed: boolean): void {
    const what = count === 1 ? "1 program that waited was" : `${count} programs that waited were`;
    this.#events.onGap(`${why}; ${what} ${allowed ? "allowed" : "refused"} unjudged`);
  }
}

/** Whether a process waits for nothing but a processor. */
function isRunnable(pid: number | undefined): boolean {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1")).state === "R";
  } catch {
    // It has exited.
    return false;
  }
}

function total(now: GateState, before: GateState | undefined): GateState {
  if (before === undefined) return now;
  return {
    ...now,
    decisions: now.decisions + before.decisions,
    denials: now.denials + before.denials,
    slowestMs: Math.max(now.slowestMs, before.slowestMs),
  };
}
