import { readFileSync } from "node:fs";
import { containerOfProcess } from "../container/cgroup.ts";
import { hostNamespace, namespaceOf } from "../container/kernel-start.ts";
import type { ContainerRef } from "../container/types.ts";
import { errorCode } from "../core/errors.ts";
import { parseStat } from "../process/stat.ts";
import { readProgram } from "./code-object.ts";
import type { Fact } from "./facts.ts";
import { type FileDigests, HashBudget } from "./file-digest.ts";
import type { HostPrograms } from "./host-programs.ts";
import { meetProcess, releaseProgram } from "./watched.ts";

/** The namespaces that make a process one of a container, besides its cgroup. */
const KINDS = ["mnt", "pid"] as const;
type Kind = (typeof KINDS)[number];
type Namespaces = Readonly<Record<Kind, string>>;

interface Seen {
  /** By its cgroup; null for one of the host's. */
  container: ContainerRef | null;
  sweep: number;
  /** False for one that is new, has executed a program or was not as it should be when it was last looked at. */
  checked: boolean;
  /** What was wrong the last time it was looked at. */
  suspicion: string;
  reported: string;
}

/** The namespaces of a container: those of its oldest process when it was met, whatever that does later. */
interface Own {
  readonly container: ContainerRef;
  readonly pid: number;
  readonly namespaces: Namespaces;
}

interface Mismatch {
  readonly container: ContainerRef;
  readonly how: "entered" | "left";
  readonly namespaces: readonly Kind[];
}

/** Every process is looked at once in so many sweeps, also when nothing told that it did something. */
const SWEEPS_A_ROUND = 30;
const LEAST_SLICE = 32;
const PROGRAM_BYTES = 1024n * 1024n * 1024n;

/**
 * Holds processes' namespaces against their cgroups: a process in a container's mount or process namespace that is not
 * of its cgroup has entered by another way; one of its cgroup that is in the host's has left. A namespace that a
 * container's process made is neither, and so the container's. What a process is found to be twice, in two sweeps, is a
 * fact, unless its program is the runtime's: that is half inside for some milliseconds whenever it starts something there.
 */
export class Memberships {
  readonly #digests: FileDigests;
  readonly #hostPrograms: HostPrograms;
  readonly #seen = new Map<number, Seen>();
  readonly #own = new Map<string, Own>();
  #slice = this.#seen.entries();
  #sweep = 0;

  constructor(digests: FileDigests, hostPrograms: HostPrograms) {
    this.#digests = digests;
    this.#hostPrograms = hostPrograms;
  }

  beginSweep(): void {
    this.#sweep++;
  }

  /** A process as it was met: of this container, with a program of its own, or of the host. */
  saw(pid: number, container: ContainerRef | null): void {
    const known = this.#seen.get(pid);
    if (known === undefined) {
      this.#seen.set(pid, { container, sweep: this.#sweep, checked: false, suspicion: "", reported: "" });
      return;
    }
    known.sweep = this.#sweep;
    if (known.container?.id === container?.id) return;
    known.container = container;
    known.checked = false;
  }

  /** A process has executed a program. */
  executed(pid: number): void {
    const known = this.#seen.get(pid);
    if (known !== undefined) known.checked = false;
  }

  /** Looks at the processes that are new or not as they should be, and at some of the others. */
  async endSweep(facts: Fact[]): Promise<void> {
    const members = new Map<string, { container: ContainerRef; pids: number[] }>();
    const due = new Map<number, Seen>();
    for (const [pid, seen] of this.#seen) {
      const { container } = seen;
      if (seen.sweep !== this.#sweep) {
        this.#seen.delete(pid);
        continue;
      }
      if (!seen.checked) due.set(pid, seen);
      if (container === null) continue;
      const key = `${container.runtime}:${container.id}`;
      const group = members.get(key);
      if (group === undefined) members.set(key, { container, pids: [pid] });
      else group.pids.push(pid);
    }
    for (let left = Math.max(LEAST_SLICE, Math.ceil(this.#seen.size / SWEEPS_A_ROUND)); left > 0; left--) {
      const next = this.#slice.next();
      if (next.done) {
        this.#slice = this.#seen.entries();
        break;
      }
      due.set(...next.value);
    }
    this.#refreshOwn(members);
    if (this.#own.size === 0) return;
    const host = { mnt: hostNamespace("mnt"), pid: hostNamespace("pid") };
    const owners = this.#owners(host);
    for (const [pid, seen] of due) await this.#check(pid, seen, host, owners, facts);
  }

  /** A container whose process is gone that stood for it is stood for by the oldest that is left. */
  #refreshOwn(members: ReadonlyMap<string, { container: ContainerRef; pids: readonly number[] }>): void {
    for (const key of this.#own.keys()) if (!members.has(key)) this.#own.delete(key);
    for (const [key, { container, pids }] of members) {
      const known = this.#own.get(key);
      if (known !== undefined && pids.includes(known.pid)) continue;
      const aged = pids
        .map((pid) => ({ pid, startTime: startTimeOf(pid) }))
        .filter(({ startTime }) => startTime !== null);
      const [oldest] = aged.sort((a, b) => Number(a.startTime! - b.startTime!) || a.pid - b.pid);
      const namespaces = oldest === undefined ? null : namespacesOf(oldest.pid);
      if (oldest === undefined || namespaces === null) this.#own.delete(key);
      else this.#own.set(key, { container, pid: oldest.pid, namespaces });
    }
  }

  /** The containers that each namespace belongs to; several may share one. */
  #owners(host: Namespaces): Map<string, ContainerRef[]> {
    const owners = new Map<string, ContainerRef[]>();
    for (const { container, namespaces } of this.#own.values())
      for (const kind of KINDS) {
        const name = namespaces[kind];
        if (name === host[kind]) continue;
        owners.set(name, [...(owners.get(name) ?? []), container]);
      }
    return owners;
  }

  async #check(
    pid: number,
    seen: Seen,
    host: Namespaces,
    owners: ReadonlyMap<string, readonly ContainerRef[]>,
    facts: Fact[],
  ): Promise<void> {
    const namespaces = namespacesOf(pid);
    seen.checked = true;
    // Gone, or not to be looked at.
    if (namespaces === null) return;
    const mismatch = this.#mismatch(seen.container, namespaces, host, owners);
    const suspicion = mismatch === null ? "" : JSON.stringify([startTimeOf(pid)?.toString(), mismatch]);
    const again = suspicion === seen.suspicion;
    seen.suspicion = suspicion;
    if (mismatch === null || suspicion === seen.reported) return;
    seen.checked = false;
    if (!again) return;
    // A runtime's helper may have come in by its cgroup, too, and executed a program since the sweep met it.
    if (mismatch.how === "entered" && containerOfProcess(pid)?.id === mismatch.container.id) return;
    const fact = await this.#describe(pid, mismatch);
    if (fact === null) return;
    facts.push(fact);
    if (fact.kind !== "mismatch") return;
    seen.reported = suspicion;
    seen.checked = true;
  }

  #mismatch(
    container: ContainerRef | null,
    namespaces: Namespaces,
    host: Namespaces,
    owners: ReadonlyMap<string, readonly ContainerRef[]>,
  ): Mismatch | null {
    for (const kind of KINDS) {
      const [owner, ...others] = owners.get(namespaces[kind]) ?? [];
      if (owner === undefined || [owner, ...others].some(({ id }) => id === container?.id)) continue;
      const entered = KINDS.filter((one) => owners.get(namespaces[one])?.includes(owner));
      return { container: owner, how: "entered", namespaces: entered };
    }
    if (container === null) return null;
    const own = this.#own.get(`${container.runtime}:${container.id}`)?.namespaces;
    if (own === undefined) return null;
    const left = KINDS.filter((kind) => namespaces[kind] === host[kind] && own[kind] !== host[kind]);
    return left.length > 0 ? { container, how: "left", namespaces: left } : null;
  }

  /** Null when the process has gone or is one of the runtime's. */
  async #describe(pid: number, { container, how, namespaces }: Mismatch): Promise<Fact | null> {
    const met = meetProcess(pid, container);
    if (met === null) return null;
    const { process, program } = met;
    try {
      if (program === null) return null;
      const object = await readProgram(process, program, this.#digests, new HashBudget(PROGRAM_BYTES));
      if (await this.#hostPrograms.isRuntimeProgram(object.sha256)) return null;
      return { kind: "mismatch", process, object, how, namespaces };
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      return { kind: "unreadable", process, text: `its program could not be read (${errorCode(error)})` };
    } finally {
      releaseProgram(met);
    }
  }
}

function namespacesOf(pid: number): Namespaces | null {
  try {
    return { mnt: namespaceOf(pid, "mnt"), pid: namespaceOf(pid, "pid") };
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return null;
  }
}

function startTimeOf(pid: number): bigint | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1")).startTime;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return null;
  }
}
