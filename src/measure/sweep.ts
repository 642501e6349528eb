import { readdir } from "node:fs/promises";
import { containerOfProcess } from "../container/cgroup.ts";
import type { ContainerRef } from "../container/types.ts";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import { AddressSpace, isGone, type Method } from "../process/address-space.ts";
import type { Mapping } from "../process/mapping.ts";
import { programFile, readCodeObject } from "./code-object.ts";
import type { CodeObject, Fact, ProcessRef } from "./facts.ts";
import { FileDigests } from "./file-digest.ts";
import { HostPrograms } from "./host-programs.ts";
import { compareWrittenPages } from "./written-pages.ts";

export interface SweepOptions {
  /** `containers`: processes of containers only. `all`: every process. */
  readonly scope: "containers" | "all";
  readonly method?: Method;
}

/** What one sweep covered. Counts are of this sweep alone. */
export interface Coverage {
  processes: number;
  mappings: number;
  /** Written-to pages compared with their file. */
  pagesCompared: number;
  hashedFiles: number;
  /** What could not be read or was too much to read: then silence about it is not "clean". */
  unreadable: number;
}

export interface SweepResult {
  readonly coverage: Coverage;
  /** Code first seen in this sweep, and every modified page and unreadable object that is there now. */
  readonly facts: readonly Fact[];
  /** Containers that have a process now, by `runtime:id`. */
  readonly containers: ReadonlyMap<string, ContainerRef>;
}

/** The key under which a container is known: `runtime:id`. */
export function containerKey(container: ContainerRef): string {
  return `${container.runtime}:${container.id}`;
}

interface MeasuredMapping {
  readonly mapping: Mapping;
  readonly object: CodeObject;
}

interface Watched {
  readonly space: AddressSpace;
  readonly process: ProcessRef;
  mappings: readonly Mapping[];
  measured: readonly MeasuredMapping[];
  /** A helper of the runtime (`runc init`): looked at again when it executes the container's own program. */
  helper: boolean;
}

/**
 * Keeps every watched address space open and tells what changed since the last sweep. A sweep without change asks the
 * kernel for mapping bounds and written-to pages, and hashes nothing.
 */
export class Sweeper {
  readonly digests = new FileDigests();
  readonly #hostPrograms = new HostPrograms(this.digests);
  readonly #scope: "containers" | "all";
  readonly #method: Method;
  readonly #watched = new Map<number, Watched>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SweepOptions) {
    this.#scope = options.scope;
    this.#method = options.method ?? "auto";
  }

  /** Measures every process in scope. Sweeps and single measurements take turns. */
  sweep(): Promise<SweepResult> {
    return this.#inTurn(async () => {
      const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
      const living = new Set(pids);
      for (const [pid, watched] of this.#watched) if (!living.has(pid)) this.#drop(pid, watched);
      return this.#measureAll(pids);
    });
  }

  /** Measures these processes now, because they have just executed a program. */
  measure(pids: readonly number[]): Promise<SweepResult> {
    // Opened at once: a process may be gone by the time its turn comes.
    for (const pid of pids) this.#tryWatch(pid, []);
    return this.#inTurn(() => this.#measureAll(pids));
  }

  close(): void {
    for (const [pid, watched] of this.#watched) this.#drop(pid, watched);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #measureAll(pids: readonly number[]): Promise<SweepResult> {
    const coverage: Coverage = { processes: 0, mappings: 0, pagesCompared: 0, hashedFiles: 0, unreadable: 0 };
    const facts: Fact[] = [];
    const containers = new Map<string, ContainerRef>();
    const hashedBefore = this.digests.hashedFiles;
    const checkedFiles = new Set<string>();
    for (const pid of pids) {
      // Twice, because a process that executed meanwhile is another address space.
      for (let attempt = 0; attempt < 2; attempt++) {
        const watched = this.#tryWatch(pid, facts);
        if (watched === null) break;
        const before = facts.length;
        const outcome = await this.#measureOne(watched, coverage, facts, checkedFiles);
        if (outcome === "gone") {
          // What was found out before it went stays true.
          this.#drop(pid, watched);
          continue;
        }
        coverage.processes++;
        if (watched.helper) facts.length = before;
        else if (watched.process.container)
          containers.set(containerKey(watched.process.container), watched.process.container);
        break;
      }
    }
    coverage.hashedFiles = this.digests.hashedFiles - hashedBefore;
    coverage.unreadable = facts.filter((fact) => fact.kind === "unreadable").length;
    return { coverage, facts, containers };
  }

  /** Like #watch; a process that may not be looked at is reported as unreadable, never left out. */
  #tryWatch(pid: number, facts: Fact[]): Watched | null {
    try {
      return this.#watch(pid);
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      const process: ProcessRef = { pid, startTime: 0n, comm: "", exe: "", container: containerOfProcess(pid) };
      facts.push({ kind: "unreadable", process, text: describeError(error) });
      return null;
    }
  }

  /** The watched address space of a process, opened when it is new and in scope. */
  #watch(pid: number): Watched | null {
    const known = this.#watched.get(pid);
    if (known !== undefined) return known;
    const container = containerOfProcess(pid);
    if (container === null && this.#scope === "containers") return null;
    const space = AddressSpace.open(pid, this.#method);
    if (space === null) return null;
    const { startTime, comm } = space.stat;
    const watched: Watched = {
      space,
      process: { pid, startTime, comm, exe: space.exe, container },
      mappings: [],
      measured: [],
      helper: false,
    };
    this.#watched.set(pid, watched);
    return watched;
  }

  #drop(pid: number, watched: Watched): void {
    watched.space.close();
    if (this.#watched.get(pid) === watched) this.#watched.delete(pid);
  }

  async #measureOne(
    watched: Watched,
    coverage: Coverage,
    facts: Fact[],
    checkedFiles: Set<string>,
  ): Promise<"measured" | "gone"> {
    const { space, process } = watched;
    try {
      const same = watched.mappings.length > 0 && space.sameMappings(watched.mappings);
      if (same === "gone") return "gone";
      const known = same && !(await this.#anyFileChanged(watched, checkedFiles));
      if (!known && (await this.#measureMappings(watched, facts)) === "gone") return "gone";
      coverage.mappings += watched.mappings.length;
      for (const { mapping, object } of watched.measured) {
        if (mapping.shared || object.backing === "anonymous") continue;
        const written = await compareWrittenPages(space, mapping);
        if (written === "gone") return "gone";
        coverage.pagesCompared += written.compared;
        if (written.pages.length > 0) facts.push({ kind: "modified", process, object, pages: written.pages });
        if (written.more)
          facts.push({ kind: "unreadable", process, text: "more written-to code pages than a sweep compares" });
      }
      return "measured";
    } catch (error) {
      if (isGone(error) && !space.isAlive()) return "gone";
      if (errorCode(error) === undefined) throw error;
      facts.push({ kind: "unreadable", process, text: describeError(error) });
      return "measured";
    }
  }

  /** Reads all mappings anew and reports each distinct object once for the process. */
  async #measureMappings(watched: Watched, facts: Fact[]): Promise<"measured" | "gone"> {
    const { space, process } = watched;
    const mappings = space.mappings();
    if (mappings === "gone") return "gone";
    const program = await programFile(space);
    const measured: MeasuredMapping[] = [];
    const objects = new Map<string, CodeObject>();
    let incomplete = false;
    for (const mapping of mappings) {
      try {
        const object = await readCodeObject(space, mapping, program, this.digests);
        measured.push({ mapping, object });
        objects.set(`${object.device}:${object.inode}:${object.inode === 0n ? mapping.start : ""}`, object);
      } catch (error) {
        if (!space.isAlive()) return "gone";
        if (isGone(error)) return this.#measureLater(watched);
        if (!(error instanceof PimsError) && errorCode(error) === undefined) throw error;
        incomplete = true;
        facts.push({ kind: "unreadable", process, text: describeError(error) });
      }
    }
    if (!space.isAlive()) return "gone";
    watched.helper = process.container !== null && (await this.#hostPrograms.isRuntimeHelper([...objects.values()]));
    watched.measured = measured;
    // What could not be read is tried again in the next sweep.
    watched.mappings = incomplete ? [] : mappings;
    for (const object of objects.values())
      if (object.backing !== "kernel") facts.push({ kind: "code", process, object });
    return "measured";
  }

  /** A mapping went away while it was read; the next sweep sees the new ones. */
  #measureLater(watched: Watched): "measured" {
    watched.mappings = [];
    return "measured";
  }

  /** Whether a mapped file was written to in place. Each distinct file is asked about once a sweep. */
  async #anyFileChanged(watched: Watched, checkedFiles: Set<string>): Promise<boolean> {
    for (const { mapping, object } of watched.measured) {
      if (object.backing !== "file" && object.backing !== "memfd") continue;
      const key = `${object.device}:${object.inode}:${object.sha256}`;
      if (checkedFiles.has(key)) continue;
      const file = await this.digests.measure(watched.space.mapFile(mapping));
      if (file.sha256 !== object.sha256 || file.deleted !== object.deleted) return true;
      checkedFiles.add(key);
    }
    return false;
  }
}
