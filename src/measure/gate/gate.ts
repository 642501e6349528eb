import { ContainerFinder } from "../../container/finder.ts";
import { type ContainerRef, containerKey } from "../../container/types.ts";
import { answerExec, type FanotifyEvent, ignoreFile, stopIgnoring, stopIgnoringFile } from "../../kernel/fanotify.ts";
import { FanotifyReader } from "../../kernel/fanotify-reader.ts";
import { isRunning } from "../../kernel/pidfd.ts";
import { WaitingPids } from "../../kernel/waiting-pids.ts";
import { FileDigests } from "../file-digest.ts";
import { HostPrograms } from "../host-programs.ts";
import { type Decision, decideExec, type ListedFiles } from "./decide.ts";
import { baselineOf, type Guarded, newGuarded } from "./guarded.ts";
import { HeldExec } from "./held-exec.ts";
import { KnownDigests } from "./known-digests.ts";
import { MountMarks } from "./mount-marks.ts";
import type { FromGate, GateState, Settings, ToGate, Unanswered } from "./protocol.ts";

/** A file that is not read by then is refused. */
const READ_DEADLINE_MS = 10_000;
/** How long a container's first program waits for what the supervisor knows of the container. */
const SETTINGS_DEADLINE_MS = 5000;
const TICK_MS = 200;
const SCAN_MS = 2000;
const SOON_MS = 100;
/** Files of one container that are read at the same time: what never answers must not take all threads. */
const READS_A_CONTAINER = 2;
/** Refusals that are told of one container, each file once; further ones are counted. */
const MAX_TOLD = 1024;
/** Files that wait, open, to be read so that it can be told what they were. */
const MAX_WAITING_TO_TELL = 64;
/** Files that are refused unread are read afterwards up to this size, so that it can be told what they were. */
const MAX_TOLD_BYTES = 16n * 1024n * 1024n;

/**
 * Decides before each exec in a container whether the program is the image's, by its digest. Files whose size no listed
 * file has are refused unread. An allowed file is not asked about again where only the container itself can change it.
 */
export class Gate {
  readonly #group: number;
  readonly #waiting: WaitingPids;
  readonly #send: (message: FromGate) => void;
  readonly #reader: FanotifyReader;
  readonly #finder = new ContainerFinder();
  readonly #marks: MountMarks;
  readonly #hostPrograms = new HostPrograms(new FileDigests());
  /** The runtimes' own programs, such as `docker-init`, are mounted into containers from the host. */
  #runtimes: ListedFiles = { digests: new Set(), sizes: new Set() };
  readonly #guarded = new Map<string, Guarded>();
  readonly #baselines = new Map<string, ListedFiles>();
  readonly #held = new Set<HeldExec>();
  readonly #digests = new KnownDigests();
  /** Who waits for the digest of a file that is being read, by signature. */
  readonly #readers = new Map<string, HeldExec[]>();
  #unanswered: Unanswered = "deny";
  #watching = false;
  #told = "";
  #scanSoon = (): void => {};

  /** Of the descriptors `waiting` is one of openWaitingPids. */
  constructor(group: number, waiting: number, send: (message: FromGate) => void) {
    this.#group = group;
    this.#waiting = new WaitingPids(waiting);
    this.#send = send;
    this.#reader = new FanotifyReader(group, waiting, {
      onEvents: (events) => events.forEach((event) => void this.#onEvent(event)),
      onMounts: (tables) => this.#marks.onMounts(tables),
      onEnded: (tables) => {
        this.#marks.onEnded(tables);
        this.#scanSoon();
      },
      onError: (error) => {
        throw error;
      },
    });
    this.#marks = new MountMarks(group, this.#reader, this.#finder);
  }

  /** Says that it is ready; nothing is marked or asked before `start`. */
  open(): void {
    setInterval(() => this.#tick(), TICK_MS);
    this.#send({ type: "ready" });
  }

  async #watch(): Promise<never> {
    this.#marks.watchHost();
    await this.#reader.ask();
    await this.#scan();
    this.#watching = true;
    this.#send({ type: "watching" });
    for (;;) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, SCAN_MS);
        this.#scanSoon = () => {
          clearTimeout(timer);
          setTimeout(resolve, SOON_MS);
        };
      });
      await this.#scan();
    }
  }

  take(message: ToGate): void {
    switch (message.type) {
      case "start":
        this.#unanswered = message.unanswered;
        void this.#watch();
        return;
      case "baseline":
        this.#baselines.set(message.name, message);
        return;
      case "forget":
        this.#baselines.delete(message.baseline);
        return;
      case "container":
        this.#settle(this.#guard(message.container), message.settings);
        return;
      case "mark":
        void this.#markStarting(message.pid);
    }
  }

  /** Its settings may come later: its first program waits for them. */
  async #markStarting(pid: number): Promise<void> {
    await this.#finder.refresh();
    const container = this.#finder.ofProcess(pid);
    let marked = false;
    if (container !== null) {
      const guarded = this.#guard(container);
      if (guarded.settings === null) this.#marks.want(container, true);
      else this.#want(guarded);
      marked = this.#marks.meetStarting(pid, container);
    }
    this.#send({ type: "marked", pid, marked });
  }

  #settle(guarded: Guarded, settings: Settings): void {
    const changes = guarded.settings !== null;
    guarded.settings = settings;
    guarded.toldUnjudged = false;
    // What was allowed by other rules is asked about again.
    if (changes) stopIgnoring(this.#group);
    this.#want(guarded);
    for (const held of guarded.waiting.splice(0)) if (!held.answered) this.#judge(held, guarded);
  }

  #want({ container, settings }: Guarded): void {
    if (settings !== null) this.#marks.want(container, settings.mode !== "off");
  }

  async #scan(): Promise<void> {
    this.#hostPrograms.refresh();
    const programs = await this.#hostPrograms.programs();
    this.#runtimes = { digests: programs, sizes: new Set(programs.values()) };
    const living = new Set<string>();
    for (const container of await this.#marks.scan()) {
      living.add(containerKey(container));
      this.#want(this.#guard(container));
    }
    for (const [key, { waiting, reads }] of this.#guarded)
      if (!living.has(key) && waiting.length === 0 && reads === 0) this.#guarded.delete(key);
  }

  #guard(container: ContainerRef): Guarded {
    const key = containerKey(container);
    const known = this.#guarded.get(key);
    if (known !== undefined) return known;
    const guarded = newGuarded(container);
    this.#guarded.set(key, guarded);
    this.#send({ type: "ask", container });
    return guarded;
  }

  async #onEvent(event: FanotifyEvent): Promise<void> {
    const held = new HeldExec(event);
    this.#held.add(held);
    const container = await this.#containerOf(held);
    // One that was killed while it waited has left its number to others.
    const gone = event.pidfd >= 0 && !isRunning(event.pidfd);
    if (container === null || gone) this.#answer(held, !gone);
    else {
      this.#marks.meetProcess(event.pid, container);
      held.guarded = this.#guard(container);
      this.#want(held.guarded);
      if (held.guarded.settings === null) held.guarded.waiting.push(held);
      else this.#judge(held, held.guarded);
    }
  }

  async #containerOf({ file, event }: HeldExec): Promise<ContainerRef | null> {
    const container = this.#marks.containerOf(file.device, event.pid);
    if (container !== null || !this.#marks.isUnclaimed(file.device)) return container;
    // runc may have put it on record since, in a cgroup of any name.
    await this.#finder.refresh();
    return this.#marks.containerOf(file.device, event.pid);
  }

  /** `read`: the digest of just this exec's file, null when it could not be had. */
  #judge(held: HeldExec, guarded: Guarded, read?: string | null): void {
    const { file } = held;
    const sinceMs = this.#marks.changeableSince(file.device, guarded.container);
    const baseline = this.#baselines.get(baselineOf(guarded) ?? "");
    // Who maps a file to write to it changes its time, but may go on writing without: what was read before the container
    // was started anew says nothing.
    const unchanged = sinceMs !== null && file.changedMs < sinceMs;
    const known = this.#digests.get(file.signature);
    const decision = decideExec({
      settings: guarded.settings!,
      listed: [...(baseline ? [baseline] : []), ...(sinceMs === null ? [this.#runtimes] : [])],
      size: file.size,
      sha256: read ?? known?.sha256 ?? null,
      current: read != null || (unchanged && known !== null && known.readMs >= sinceMs),
      unchanged,
    });
    if (decision === "unjudged") this.#answerUnjudged(held, guarded);
    else if (decision !== "read") this.#carryOut(held, guarded, decision);
    else if (read === null) this.#refuse(held, guarded, { sha256: null, late: true });
    else this.#wantDigest(held, guarded);
  }

  /** It is nobody's finding: the container may be in perfect order. Whose settings are not known yet may be enforced. */
  #answerUnjudged(held: HeldExec, guarded: Guarded): void {
    const mayBeEnforced = guarded.settings === null || guarded.settings.mode === "enforce";
    if (mayBeEnforced && !guarded.toldUnjudged) this.#send({ type: "unjudged", container: guarded.container });
    guarded.toldUnjudged = true;
    this.#answer(held, !mayBeEnforced || this.#unanswered === "allow");
  }

  #carryOut(held: HeldExec, guarded: Guarded, decision: Exclude<Decision, "read" | "unjudged">): void {
    if (!decision.allow) this.#refuse(held, guarded, decision);
    else if (decision.keep && !this.#ignore(held)) this.#refuse(held, guarded, { sha256: null, late: true });
    else this.#answer(held, true);
  }

  /**
   * Does not ask about the file again. The kernel is told so only now, and then the file is looked at once more: told
   * before it was judged, it would let a second exec pass unjudged meanwhile. False when the file has been changed.
   */
  #ignore(held: HeldExec): boolean {
    ignoreFile(this.#group, held.event.fd);
    if (held.isSame()) return true;
    stopIgnoringFile(this.#group, held.event.fd);
    return false;
  }

  /** A file is read once for all who wait for it. */
  #wantDigest(held: HeldExec, guarded: Guarded): void {
    const { signature } = held.file;
    const readers = this.#readers.get(signature);
    if (readers !== undefined) readers.push(held);
    else {
      this.#readers.set(signature, [held]);
      const begin = (): void => void this.#read(held, guarded);
      if (guarded.reads < READS_A_CONTAINER) begin();
      else guarded.queue.push(begin);
    }
  }

  async #read(first: HeldExec, guarded: Guarded): Promise<void> {
    const { signature } = first.file;
    guarded.reads++;
    const readMs = Date.now();
    const sha256 = await first.digest(first.atMs + READ_DEADLINE_MS);
    guarded.reads--;
    guarded.queue.shift()?.();
    if (sha256 !== null) this.#digests.remember(signature, { sha256, readMs });
    const readers = this.#readers.get(signature) ?? [];
    this.#readers.delete(signature);
    for (const held of readers) if (!held.answered) this.#judge(held, held.guarded!, sha256);
    if (first.close()) this.#reader.gaveBack();
  }

  #refuse(held: HeldExec, guarded: Guarded, { sha256, late }: { sha256: string | null; late: boolean }): void {
    guarded.denials++;
    const { signature, size } = held.file;
    const enforced = guarded.settings?.mode === "enforce";
    const story = guarded.told.size < MAX_TOLD && !guarded.told.has(signature) ? held.story() : null;
    const hasRoom = guarded.reads < READS_A_CONTAINER || guarded.queue.length < MAX_WAITING_TO_TELL;
    const unread = sha256 === null && !late && size <= MAX_TOLD_BYTES && hasRoom;
    if (story !== null) {
      guarded.told.add(signature);
      const tell = (digest: string | null): void => {
        const [{ container }, { script }] = [guarded, held];
        const refusal = { container, ...story, sha256: digest, late, allowed: !enforced, script };
        this.#send({ type: "refused", refusal });
      };
      if (unread) void this.#readAfterwards(held, guarded).then(tell);
      else tell(sha256);
    }
    this.#answer(held, !enforced);
  }

  async #readAfterwards(held: HeldExec, guarded: Guarded): Promise<string | null> {
    const turn = Promise.withResolvers<void>();
    const begin = (): void => {
      guarded.reads++;
      turn.resolve();
    };
    if (guarded.reads < READS_A_CONTAINER) begin();
    else guarded.queue.push(begin);
    const digest = await held.digest(performance.now() + READ_DEADLINE_MS, turn.promise);
    guarded.reads--;
    guarded.queue.shift()?.();
    if (held.close()) this.#reader.gaveBack();
    return digest;
  }

  #answer(held: HeldExec, allow: boolean): void {
    if (held.answered) return;
    held.answered = true;
    this.#waiting.set(held.event.fd, 0);
    answerExec(this.#group, held.event.fd, allow);
    this.#held.delete(held);
    const { guarded } = held;
    if (guarded !== null) {
      guarded.decisions++;
      guarded.slowestMs = Math.max(guarded.slowestMs, performance.now() - held.atMs);
    }
    if (held.close()) this.#reader.gaveBack();
  }

  /** Answers what has waited too long, and shows that it lives. */
  #tick(): void {
    const nowMs = performance.now();
    let oldestMs = 0;
    for (const held of [...this.#held]) {
      const { guarded } = held;
      const waitedMs = nowMs - held.atMs;
      const settled = guarded !== null && guarded.settings !== null;
      if (settled && waitedMs > READ_DEADLINE_MS) this.#refuse(held, guarded, { sha256: null, late: true });
      else if (!settled && waitedMs > SETTINGS_DEADLINE_MS) {
        if (guarded === null) this.#answer(held, this.#unanswered === "allow");
        else this.#answerUnjudged(held, guarded);
      } else oldestMs = Math.max(oldestMs, waitedMs);
    }
    this.#send({ type: "beat", turns: this.#reader.turns, oldestMs });
    const states = this.#states();
    const told = JSON.stringify(states);
    if (this.#watching && told !== this.#told) this.#send({ type: "states", states });
    this.#told = told;
  }

  #states(): GateState[] {
    return [...this.#guarded.values()].map(({ container, settings, decisions, denials, slowestMs }) => ({
      container,
      mode: settings?.mode ?? "off",
      ...this.#marks.mountsOf(containerKey(container)),
      decisions,
      denials,
      slowestMs: Math.round(slowestMs * 10) / 10,
    }));
  }
}
