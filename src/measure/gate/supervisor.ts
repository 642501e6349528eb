import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { containerOfProcess } from "../../container/cgroup.ts";
import { type ContainerRef, containerKey } from "../../container/types.ts";
import { errorCode } from "../../core/errors.ts";
import { openFanotify, stopAsking } from "../../kernel/fanotify.ts";
import { openWaitingPids, WaitingPids } from "../../kernel/waiting-pids.ts";
import type { ListedFiles } from "./decide.ts";
import { GateLife } from "./gate-life.ts";
import type { FromGate, GateState, Refusal, Settings, ToGate, Unanswered } from "./protocol.ts";
import { Unjudged } from "./unjudged.ts";

export interface GateEvents {
  /** A container has no settings yet: its programs wait for `settle`. */
  onAsk(container: ContainerRef): void;
  onRefused(refusal: Refusal): void;
  /** Nobody knows what may be executed in a container: what is executed there is answered for by `unanswered`. */
  onUnjudged(container: ContainerRef): void;
  onStates(states: readonly GateState[]): void;
  /** Programs were answered for without being judged; one sentence. */
  onGap(text: string): void;
}

/** A baseline's files under the name that settings call them by. */
export interface NamedFiles extends ListedFiles {
  readonly name: string;
  readonly digests: Set<string>;
  readonly sizes: Set<bigint> | null;
}

const PROGRAM = join(import.meta.dirname, "gate-process.ts");
/** An inspector would let whoever reaches it allow everything; the rest keeps it small. */
const NODE_OPTIONS = ["--disable-sigusr1", "--disable-warning=ExperimentalWarning", "--max-semi-space-size=2"];
const TICK_MS = 100;
/** How long programs wait for a new gate before they are answered for. */
const PATIENCE_MS = 600;
/** A gate that ends soon after its start is not started again at once. */
const RESTART_MS = 1000;
/** How long a container's start waits for its marks. */
const MARK_MS = 1500;
const START_MS = 10_000;
/** A gate that was killed is not waited for any longer. */
const END_MS = 2000;

/**
 * Keeps a gate running, and holds a second copy of its fanotify group: so nobody is let go when the gate is killed. What
 * a dead gate had read is answered for by policy, what it had not is read by the next gate. Who waits for a dead gate's
 * answer is known from a list that outlives it.
 */
export class GateSupervisor {
  readonly #group: number;
  readonly #waiting: number;
  readonly #waitingPids: WaitingPids;
  readonly #unanswered: Unanswered;
  readonly #events: GateEvents;
  readonly #settings = new Map<string, { container: ContainerRef; settings: Settings }>();
  readonly #baselines = new Map<string, NamedFiles>();
  #states: readonly GateState[] = [];
  /** What the gates before this one had counted. */
  readonly #earlier = new Map<string, GateState>();
  readonly #timer: NodeJS.Timeout;
  /** Who waits for a process's mounts to be marked, by its number: another one who asks takes its place. */
  readonly #marking = new Map<number, (marked: boolean) => void>();
  readonly #watching = Promise.withResolvers<void>();
  #gate: ChildProcess | null = null;
  #ready = false;
  #closing = false;
  #startedMs = Number.NEGATIVE_INFINITY;
  /** Since when no gate reads. */
  #absentMs = performance.now();
  #tickMs = performance.now();
  #life = new GateLife(undefined);

  /** Throws PimsError `system-call` where the kernel has no such thing or does not allow it. */
  constructor(unanswered: Unanswered, events: GateEvents) {
    this.#group = openFanotify();
    this.#waiting = openWaitingPids();
    this.#waitingPids = new WaitingPids(this.#waiting);
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

  /**
   * Marks what a container's first process, which waits, has mounted. False where it is no container's, there is no gate, or it
   * does not answer in time.
   */
  async mark(pid: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(resolve, MARK_MS, false);
    this.#marking.get(pid)?.(false);
    this.#marking.set(pid, resolve);
    this.#send({ type: "mark", pid });
    const marked = await promise;
    clearTimeout(timer);
    if (this.#marking.get(pid) === resolve) this.#marking.delete(pid);
    return marked;
  }

  /** Ends the gate and lets go of all who wait. May be called again. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#timer);
    const gate = this.#gate;
    if (gate !== null && gate.exitCode === null && gate.signalCode === null) {
      // Not `once`: that what was said to it last did not arrive is no failure.
      const exited = new Promise((resolve) => gate.once("exit", resolve));
      gate.kill("SIGKILL");
      // One that waits for a disk that does not answer cannot die, and as long as it is there the kernel lets nobody go.
      stopAsking(this.#group);
      Unjudged.ofDeadGate(this.#group, this.#waitingPids, () => true);
      Unjudged.ofNoGate(this.#group, () => true);
      const late = new AbortController();
      await Promise.race([exited, sleep(END_MS, undefined, { signal: late.signal })]);
      late.abort();
      gate.channel?.unref();
      gate.unref();
    }
    closeSync(this.#group);
    closeSync(this.#waiting);
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
      stdio: ["ignore", "ignore", "inherit", "ipc", this.#group, this.#waiting],
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
    switch (message.type) {
      case "ready":
        this.#ready = true;
        this.#life = new GateLife(this.#gate?.pid);
        for (const files of this.#baselines.values()) this.#send({ type: "baseline", ...files });
        for (const { container, settings } of this.#settings.values())
          this.#send({ type: "container", container, settings });
        this.#send({ type: "start", unanswered: this.#unanswered });
        return;
      case "marked":
        this.#marking.get(message.pid)?.(message.marked);
        return;
      case "watching":
        this.#watching.resolve();
        return;
      case "beat":
        this.#life.beat(message.turns, message.oldestMs);
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
      case "unjudged":
        this.#events.onUnjudged(message.container);
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
      if (lateMs > TICK_MS) this.#life.excuse();
      // What it has sent meanwhile is looked at first.
      if (this.#life.isHung()) setImmediate(() => this.#endHung());
    } else {
      // One that does not get ready is replaced, too.
      if (nowMs - this.#startedMs > START_MS) this.#gate?.kill("SIGKILL");
      if (this.#gate === null && nowMs - this.#startedMs > RESTART_MS) this.#start();
      if (nowMs - this.#absentMs > PATIENCE_MS) this.#drain();
    }
  }

  #endHung(): void {
    const gate = this.#gate;
    if (gate === null || !this.#ready || !this.#life.isHung()) return;
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
    const answered = Unjudged.ofDeadGate(this.#group, this.#waitingPids, (pid) => this.#isAllowed(pid));
    if (ready) this.#events.onGap(`the gate had to be started anew; ${answered}`);
    if (performance.now() - this.#startedMs > RESTART_MS) this.#start();
  }

  /** No gate comes: answers for it. */
  #drain(): void {
    const answered = Unjudged.ofNoGate(this.#group, (pid) => this.#isAllowed(pid));
    if (answered.count > 0) this.#events.onGap(`there is no gate; ${answered}`);
  }

  /** What becomes of a program that nobody judges: who would not be refused is never, where it is known who it is. */
  #isAllowed(pid: number): boolean {
    if (this.#unanswered === "allow") return true;
    const container = pid > 0 ? containerOfProcess(pid) : null;
    const known = container === null ? undefined : this.#settings.get(containerKey(container));
    if (known === undefined) return false;
    return known.settings.mode !== "enforce" || known.settings.reference === "none";
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
