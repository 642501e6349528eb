import { readdir } from "node:fs/promises";
import { ContainerFinder } from "../container/finder.ts";
import { type ContainerRef, containerKey } from "../container/types.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { fileStats, fileStatsOrNull } from "../kernel/file-stats.ts";
import type { Method } from "../process/address-space.ts";
import { readProgram } from "./code-object.ts";
import type { CodeObject, Fact, ProcessRef } from "./facts.ts";
import { FileDigests } from "./file-digest.ts";
import { type Coverage, Gathering } from "./gathering.ts";
import { HostPrograms } from "./host-programs.ts";
import { KnownPrograms, userOf } from "./known-programs.ts";
import { Listeners } from "./listeners.ts";
import { MappedCode } from "./mapped-code.ts";
import { Memberships } from "./memberships.ts";
import { Scrub } from "./scrub.ts";
import {
  type MeasuredMapping,
  type Met,
  meetProcess,
  releaseProgram,
  releaseWatched,
  type Watched,
} from "./watched.ts";
import { WritableCode } from "./writable-code.ts";

export interface SweepOptions {
  /** `containers`: processes of containers only. `all`: every process. */
  readonly scope: "containers" | "all";
  readonly method?: Method;
  /** Pages in memory that a sweep reads again to find an overwritten page cache; none by default. */
  readonly scrubPages?: number;
}

export interface SweepResult {
  readonly coverage: Coverage;
  /** Code first seen in this sweep, and every modified page and unreadable object that is there now. */
  readonly facts: readonly Fact[];
  /** Containers that have a process now, by `runtime:id`. */
  readonly containers: ReadonlyMap<string, ContainerRef>;
  /** How long the last full scrub took, in milliseconds; null before there was one. */
  readonly scrubCycleMs: number | null;
}

const MAX_NOTED = 1024;
/** Processes that have executed a known program and wait to be looked at when they are loaded. */
const MAX_YOUNG = 16_384;
/**
 * How long a measurement waits for the arguments of a process. They take microseconds, on a busy host milliseconds, unless a
 * process hinders it: then its container's others are not waited for.
 */
const START_WAIT_MS = 100;
/** The same where it is the last chance, also after another of the container, which lives, was waited for in vain. */
const LAST_WAIT_MS = 2000;

/**
 * Remembers what each process had mapped, and tells what changed since the last sweep. A sweep without change asks the
 * kernel for mapping bounds and written-to pages, and hashes nothing.
 */
export class Sweeper {
  readonly digests = new FileDigests();
  readonly #hostPrograms = new HostPrograms(this.digests);
  readonly #finder = new ContainerFinder();
  readonly #writable = new WritableCode(this.digests);
  readonly #memberships = new Memberships(this.digests, this.#hostPrograms);
  readonly #scrub: Scrub;
  readonly #scrubPages: number;
  readonly #listeners = new Listeners();
  readonly #scope: "containers" | "all";
  readonly #method: Method;
  readonly #mappedCode: MappedCode;
  readonly #watched = new Map<number, Watched>();
  readonly #knownPrograms = new KnownPrograms(this.digests);
  readonly #noted = new Set<number>();
  /** Measured as programs since the last call of measureLoaded, and before it. */
  #young = new Set<number>();
  #loading = new Set<number>();
  /** Noted, and another program was executed in their place before they were measured. */
  readonly #replaced: Watched[] = [];
  /** What could not be looked at when it was noted. */
  readonly #unreadable: Fact[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SweepOptions) {
    this.#scope = options.scope;
    this.#method = options.method ?? "auto";
    this.#mappedCode = new MappedCode(this.digests, this.#hostPrograms, this.#writable, this.#method);
    this.#scrub = new Scrub(this.digests, this.#method);
    this.#scrubPages = options.scrubPages ?? 0;
  }

  /** Measures every process in scope. Sweeps and single measurements take turns. */
  sweep(): Promise<SweepResult> {
    return this.#inTurn(async () => {
      await this.#finder.refresh();
      this.#hostPrograms.refresh();
      this.#memberships.beginSweep();
      const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
      const living = new Set(pids);
      const gone = [...this.#watched.keys()].filter((pid) => !living.has(pid));
      const result = await this.#measureAll([...pids, ...gone]);
      const { coverage, facts } = result;
      this.#writable.endSweep(this.#watched.values(), this.#scrub.cycles, facts);
      await this.#memberships.endSweep(facts);
      this.#listeners.endSweep(facts);
      coverage.pagesScrubbed = await this.#scrubSome(facts);
      coverage.unreadable = facts.filter((fact) => fact.kind === "unreadable").length;
      return { ...result, scrubCycleMs: this.#scrub.cycleMs };
    });
  }

  /**
   * Notes processes that have just executed a program: they may be gone by the time they are measured, and what was known
   * of them is another program's. At most MAX_NOTED wait; the next sweep sees those beyond. Returns whether all were taken.
   */
  note(pids: readonly number[]): boolean {
    for (const pid of pids) {
      if (this.#noted.size >= MAX_NOTED) return false;
      this.#keepReplaced(pid);
      this.#memberships.executed(pid);
      this.#noteOne(pid);
    }
    return true;
  }

  /** What was executed before and is not measured yet is another program's. */
  #keepReplaced(pid: number): void {
    const known = this.#watched.get(pid);
    if (known === undefined || this.#replaced.length >= MAX_NOTED) return;
    if (known.program === null && known.start === null) return;
    this.#watched.delete(pid);
    this.#replaced.push(known);
  }

  #noteOne(pid: number): void {
    try {
      const file = fileStatsOrNull(`/proc/${pid}/exe`);
      // Most that execute something are gone at once.
      if (file === null) return;
      const container = this.#finder.ofProcess(pid);
      if (container === null && this.#scope === "containers") {
        this.#memberships.saw(pid, null);
        this.#forget(pid);
      } else if (container === null || !this.#knownPrograms.has(container, file, pid)) this.#noteExecuted(pid);
      else {
        this.#forget(pid);
        if (this.#young.size < MAX_YOUNG) this.#young.add(pid);
      }
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      // Whoever meets the process says what cannot be read.
      this.#noteExecuted(pid);
    }
  }

  #noteExecuted(pid: number): void {
    const watched = this.#meet(pid, this.#unreadable, "executing");
    if (watched !== null) watched.executedBy = ownerOf(pid);
    this.#noted.add(pid);
  }

  /** Notes processes and measures all of them. */
  measure(pids: readonly number[]): Promise<SweepResult> {
    for (const pid of pids) {
      this.#keepReplaced(pid);
      this.#noteExecuted(pid);
    }
    return this.#inTurn(() => {
      const noted = [...this.#noted];
      this.#noted.clear();
      return this.#measureAll(noted);
    });
  }

  /** Measures of what was noted since the last time its program, and how that was started: libraries come later. */
  measureExecuted(): Promise<SweepResult> {
    return this.#inTurn(() => {
      const pids = [...this.#noted];
      this.#noted.clear();
      for (const pid of pids) this.#young.add(pid);
      return this.#measureAll(pids, (pid, gathering) => this.#measureProgram(pid, gathering));
    });
  }

  /** Measures everything of the processes whose program was measured before the last call. */
  measureLoaded(): Promise<SweepResult> {
    return this.#inTurn(() => {
      const pids = [...this.#loading];
      this.#loading = this.#young;
      this.#young = new Set();
      return this.#measureAll(pids);
    });
  }

  /** Processes that the next calls of measureLoaded are about. */
  get loading(): number {
    return this.#loading.size + this.#young.size;
  }

  async close(): Promise<void> {
    await this.#turn;
    for (const watched of [...this.#watched.values(), ...this.#replaced.splice(0)]) releaseWatched(watched);
    this.#watched.clear();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #scrubSome(facts: Fact[]): Promise<number> | number {
    if (this.#scrubPages === 0) return 0;
    const skip = ({ object }: MeasuredMapping) => this.#writable.isDistrusted(object);
    return this.#scrub.run(this.#watched.values(), this.#scrubPages, skip, facts);
  }

  async #measureAll(
    pids: readonly number[],
    measureOne: (pid: number, gathering: Gathering) => Promise<ContainerRef | null> = (pid, gathering) =>
      this.#measureProcess(pid, gathering),
  ): Promise<Omit<SweepResult, "facts"> & { facts: Fact[] }> {
    const gathering = new Gathering(this.#unreadable.splice(0));
    const { coverage, facts } = gathering;
    const containers = new Map<string, ContainerRef>();
    const hashedBefore = this.digests.hashedFiles;
    for (const watched of this.#replaced.splice(0)) await this.#leave(watched, gathering);
    for (const pid of pids) {
      const container = await measureOne(pid, gathering);
      if (container !== null) containers.set(containerKey(container), container);
    }
    coverage.hashedFiles = this.digests.hashedFiles - hashedBefore;
    coverage.unreadable = facts.filter((fact) => fact.kind === "unreadable").length;
    return { coverage, facts, containers, scrubCycleMs: this.#scrub.cycleMs };
  }

  /** Measures the program that a process was noted with, and returns its container as measureProcess does. */
  async #measureProgram(pid: number, gathering: Gathering): Promise<ContainerRef | null> {
    const watched = this.#watched.get(pid);
    if (watched === undefined || watched.program === null) return null;
    const { process, program } = watched;
    try {
      const file = fileStats(program);
      const object = await readProgram(process, program, this.digests, gathering.budgetOf(process));
      // Whether it is a runtime's helper shows when everything of it is measured.
      if (await this.#hostPrograms.isRuntimeProgram(object.sha256)) return null;
      gathering.coverage.processes++;
      gathering.facts.push({ kind: "code", process, object });
      await this.#tellStart(watched, gathering, object);
      if (process.container !== null && watched.executedBy !== null)
        this.#knownPrograms.add(process.container, file, process.exe, watched.executedBy);
      releaseProgram(watched);
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      gathering.facts.push({ kind: "unreadable", process, text: describeError(error) });
    }
    return process.container;
  }

  /** Measures one process and returns its container when it lives there with a program of its own, or did until now. */
  async #measureProcess(pid: number, gathering: Gathering): Promise<ContainerRef | null> {
    let left: ContainerRef | null = null;
    // Twice, because a process that executed meanwhile is another address space.
    for (let attempt = 0; attempt < 2; attempt++) {
      const watched = this.#watched.get(pid) ?? this.#meet(pid, gathering.facts, "running");
      if (watched === null) return left;
      const outcome = await this.#mappedCode.measure(watched, gathering);
      if (outcome !== "gone") {
        gathering.coverage.processes++;
        if (watched.start !== null && outcome === "measured") await this.#tellStart(watched, gathering);
        if (outcome === "helper") return left;
        this.#memberships.saw(pid, watched.process.container);
        this.#listeners.saw(watched.process);
        return watched.process.container;
      }
      if (await this.#leave(watched, gathering)) left = watched.process.container;
    }
    return left;
  }

  /**
   * Notes a process in scope, anew if it was known. One that may not be looked at is reported as unreadable, never left
   * out.
   */
  #meet(pid: number, facts: Fact[], met: Met): Watched | null {
    let container: ContainerRef | null = null;
    try {
      container = this.#finder.ofProcess(pid);
      if (container === null && this.#scope === "containers") {
        this.#memberships.saw(pid, null);
        return this.#forget(pid);
      }
      const watched = meetProcess(pid, container, met, this.#method);
      if (watched === null) return this.#forget(pid);
      this.#forget(pid);
      this.#watched.set(pid, watched);
      return watched;
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      const process: ProcessRef = { pid, startTime: 0n, comm: "", exe: "", container };
      facts.push({ kind: "unreadable", process, text: describeError(error) });
      return this.#forget(pid);
    }
  }

  #forget(pid: number): null {
    const known = this.#watched.get(pid);
    if (known !== undefined) releaseWatched(known);
    this.#watched.delete(pid);
    return null;
  }

  /** A process has gone. If it was never measured, its program's file still tells what was executed: whether it did. */
  async #leave(watched: Watched, gathering: Gathering): Promise<boolean> {
    const { process, program } = watched;
    if (this.#watched.get(process.pid) === watched) this.#watched.delete(process.pid);
    try {
      if (program === null) {
        await this.#tellStart(watched, gathering);
        return false;
      }
      const object = await readProgram(process, program, this.digests, gathering.budgetOf(process));
      if (await this.#hostPrograms.isRuntimeProgram(object.sha256)) return false;
      gathering.facts.push({ kind: "code", process, object });
      await this.#tellStart(watched, gathering, object);
      return true;
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      gathering.facts.push({ kind: "unreadable", process, text: describeError(error) });
      return true;
    } finally {
      releaseWatched(watched);
    }
  }

  /**
   * Tells how a process was started, once. What has not been read by then is told by a later sweep: nobody else is kept
   * waiting.
   */
  async #tellStart(watched: Watched, gathering: Gathering, held?: CodeObject): Promise<void> {
    const { process, start } = watched;
    const program = held ?? watched.measured.find(({ object }) => object.role === "executable")?.object;
    if (start === null || program === undefined) return;
    const last = this.#watched.get(process.pid) !== watched;
    const key = process.container === null ? "" : containerKey(process.container);
    const slow = last ? gathering.slow.ended : gathering.slow.living;
    const waitMs = slow.has(key) ? 0 : last ? LAST_WAIT_MS : START_WAIT_MS;
    if (!(await start.isDone(waitMs))) {
      slow.add(key);
      if (last) gathering.facts.push({ kind: "unreadable", process, text: "it ended before its arguments were read" });
      return;
    }
    watched.start = null;
    try {
      const told = await start.finish(this.digests, gathering.budgetOf(process));
      gathering.facts.push({ kind: "start", process, program, start: told });
      for (const text of told.unread) gathering.facts.push({ kind: "unreadable", process, text });
    } finally {
      start.release();
    }
  }
}

/** Null where it cannot be told: then the program is not remembered as known. */
function ownerOf(pid: number): number | null {
  try {
    return userOf(pid);
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return null;
  }
}
