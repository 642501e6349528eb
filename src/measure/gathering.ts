import { containerKey } from "../container/types.ts";
import type { Fact, ProcessRef } from "./facts.ts";
import { HashBudget, type MeasuredFile } from "./file-digest.ts";

/** What one sweep covered. Counts are of this sweep alone. */
export interface Coverage {
  processes: number;
  mappings: number;
  /** Written-to pages compared with their file. */
  pagesCompared: number;
  /** Pages of files in memory that were read again. */
  pagesScrubbed: number;
  hashedFiles: number;
  /** What could not be read or was too much to read: then silence about it is not "clean". */
  unreadable: number;
}

export function emptyCoverage(): Coverage {
  return { processes: 0, mappings: 0, pagesCompared: 0, pagesScrubbed: 0, hashedFiles: 0, unreadable: 0 };
}

/** Bytes that are hashed for one container in one sweep; the rest waits for the next, so that none keeps the others waiting. */
const BYTES_A_SWEEP = 1024n * 1024n * 1024n;
/** What one sweep, or the measurement of some processes, gathers. */
export class Gathering {
  readonly coverage = emptyCoverage();
  readonly facts: Fact[];
  /** The same object stands for a file in all processes that have it mapped. */
  readonly checkedFiles = new Set<MeasuredFile>();
  /** Containers of which a process's arguments were waited for in vain: of one that lives, and of one that has ended. */
  readonly slow = { living: new Set<string>(), ended: new Set<string>() };
  readonly #budgets = new Map<string, HashBudget>();

  /** `facts` are known already. */
  constructor(facts: Fact[] = []) {
    this.facts = facts;
  }

  /** What is left to be hashed for a process's container. */
  budgetOf({ container }: ProcessRef): HashBudget {
    const key = container === null ? "" : containerKey(container);
    const budget = this.#budgets.get(key) ?? new HashBudget(BYTES_A_SWEEP);
    this.#budgets.set(key, budget);
    return budget;
  }
}
