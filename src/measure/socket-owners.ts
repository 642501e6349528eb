import { readdirSync } from "node:fs";
import { containerKey } from "../container/types.ts";
import { threadCpuMs } from "../core/clock.ts";
import type { ProcessRef } from "./facts.ts";
import { findHolders, type Holding, type LookBudget } from "./socket-holders.ts";

/** A process, and its folder in /proc through which its descriptors can be read. */
export interface Member {
  readonly process: ProcessRef;
  readonly folder: string;
}

/** The process that holds a socket; null for one of the host's. */
export type Owner = ProcessRef | null;

/** Descriptors that are looked at in one search, of one container's processes and of the host's. */
const FDS_A_CONTAINER = 16_384;
const FDS_OF_HOST = 131_072;
/** After its work one rests for so many times what it cost: nobody can make one work all the time. */
const REST = 50;

/** Says when one may work again. */
export class Pace {
  #afterMs = 0;

  /** Does the work unless it is still time to rest; false then. */
  work(work: () => void): boolean {
    if (performance.now() < this.#afterMs) return false;
    const before = threadCpuMs();
    work();
    this.#afterMs = performance.now() + REST * (threadCpuMs() - before);
    return true;
  }
}

/** Finds out who holds sockets, by the descriptors of all processes: those of the socket's own namespace first. */
export class SocketOwners {
  readonly #pace = new Pace();
  /** Processes of the host that were found to hold sockets in a container's namespace, such as Docker's name server. */
  readonly #known = new Set<number>();

  /** Among containers' processes. What is found is taken out of `wanted`. */
  amongContainers(wanted: Set<string>, members: Iterable<Member>): Map<string, Holding<Owner>> {
    const budgets = new Map<string, LookBudget>();
    return findHolders<ProcessRef>(wanted, members, ({ container }) => {
      const key = container === null ? "" : containerKey(container);
      const budget = budgets.get(key) ?? { left: FDS_A_CONTAINER };
      budgets.set(key, budget);
      return budget;
    });
  }

  /** Among all other processes. `complete` is false when it is too early for such a search and something is missing. */
  amongOthers(
    wanted: Set<string>,
    isContainers: (pid: number) => boolean,
  ): { found: Map<string, Holding<Owner>>; complete: boolean } {
    const budget = { left: FDS_OF_HOST };
    const found = new Map<string, Holding<Owner>>();
    const search = (pids: Iterable<number>) => {
      const members = [...pids]
        .filter((pid) => !isContainers(pid))
        .map((pid) => ({ process: pid, folder: `/proc/${pid}` }));
      for (const [inode, { path, process: pid }] of findHolders(wanted, members, () => budget)) {
        found.set(inode, { path, process: null });
        this.#known.add(pid);
      }
    };
    search(this.#known);
    if (wanted.size === 0) return { found, complete: true };
    const complete = this.#pace.work(() => {
      this.#known.clear();
      search(allPids());
    });
    return { found, complete };
  }
}

function allPids(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0);
}
