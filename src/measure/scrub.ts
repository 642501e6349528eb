import { sha256Hex } from "../core/digest.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { PAGE_SIZE } from "../kernel/pagemap.ts";
import { AddressSpace, isGone, type Method } from "../process/address-space.ts";
import type { DifferingPage, Fact } from "./facts.ts";
import { type FileDigests, readFilePage } from "./file-digest.ts";
import type { PageDigests } from "./page-digests.ts";
import type { MeasuredMapping, Watched } from "./watched.ts";

/** Pages asked for at once. */
const PAGES_A_QUERY = 4096;
/** Pages of one mapping that are named in one run; the first tells enough. */
const MAX_MODIFIED = 16;
/** A run that reads fewer might not get past the mappings that it looks through. */
const MIN_PAGES = 64;

/** A number of pages that may still be read. */
interface Budget {
  left: number;
}

/**
 * Reads again, a few in each run, all pages of measured files that processes have in memory, and compares them with the
 * digests taken when their file was measured. So it finds what leaves no other trace: a page cache that was overwritten
 * beside the file system. Only pages that a page table leads to are read, so that no disk is.
 */
export class Scrub {
  readonly #method: Method;
  readonly #digests: FileDigests;
  #queue: readonly Watched[] = [];
  #next = 0;
  /** The mapping of that process at which to go on. */
  #mapping = 0;
  /** Which pages were read in this cycle, by the digests that they were compared with: processes share most of them. */
  #read = new Map<PageDigests, Uint8Array>();
  #startMs = 0;
  /** Full cycles so far, and how long the last one took. */
  cycles = 0;
  cycleMs: number | null = null;

  constructor(digests: FileDigests, method: Method) {
    this.#digests = digests;
    this.#method = method;
  }

  /**
   * Reads about `pages` pages, or to the end of the cycle, and returns how many it read. Looking through a mapping counts
   * as a page. `skip` says which files are watched in another way.
   */
  async run(
    processes: Iterable<Watched>,
    pages: number,
    skip: (measured: MeasuredMapping) => boolean,
    facts: Fact[],
  ): Promise<number> {
    if (this.#next >= this.#queue.length) this.#begin(processes);
    const budget: Budget = { left: Math.max(pages, MIN_PAGES) };
    let read = 0;
    while (budget.left > 0 && this.#next < this.#queue.length) {
      read += await this.#readProcess(this.#queue[this.#next]!, budget, skip, facts);
      // With pages left it was read to its end.
      if (budget.left <= 0) break;
      this.#next++;
      this.#mapping = 0;
    }
    if (this.#next >= this.#queue.length) this.#end();
    return read;
  }

  #begin(processes: Iterable<Watched>): void {
    this.#queue = [...processes];
    this.#next = 0;
    this.#mapping = 0;
    this.#read = new Map();
    this.#startMs = performance.now();
  }

  #end(): void {
    this.cycles++;
    this.cycleMs = Math.round(performance.now() - this.#startMs);
    this.#queue = [];
    this.#next = 0;
  }

  async #readProcess(
    watched: Watched,
    budget: Budget,
    skip: (measured: MeasuredMapping) => boolean,
    facts: Fact[],
  ): Promise<number> {
    const space = AddressSpace.open(watched.process.pid, this.#method);
    if (space === null) return 0;
    let read = 0;
    try {
      // Of another program nothing has been measured yet.
      if (space.sameMappings(watched.mappings) !== true) return 0;
      for (; this.#mapping < watched.measured.length && budget.left > 0; this.#mapping++) {
        const measured = watched.measured[this.#mapping]!;
        if (measured.file?.pages == null || skip(measured)) continue;
        read += await this.#readMapping(space, watched, measured, measured.file.pages, budget, facts);
        // It is looked through again for the rest.
        if (budget.left <= 0) break;
      }
    } catch (error) {
      if (errorCode(error) === undefined) throw error;
      if (!isGone(error) && space.isAlive())
        facts.push({ kind: "unreadable", process: watched.process, text: describeError(error) });
    } finally {
      space.close();
    }
    return read;
  }

  async #readMapping(
    space: AddressSpace,
    { process }: Watched,
    { mapping, object }: MeasuredMapping,
    digests: PageDigests,
    budget: Budget,
    facts: Fact[],
  ): Promise<number> {
    budget.left--;
    let read = 0;
    const seen = this.#read.get(digests) ?? new Uint8Array(digests.count);
    this.#read.set(digests, seen);
    const modified: DifferingPage[] = [];
    for (let from = mapping.start; from < mapping.end && budget.left > 0; ) {
      const found = space.filePages(mapping, from, PAGES_A_QUERY);
      if (found === "gone") return read;
      for (const address of found.pages) {
        if (budget.left <= 0 || modified.length >= MAX_MODIFIED) break;
        const offset = address - mapping.start + mapping.offset;
        const index = digests.indexOf(offset);
        if (index === null || seen[index] === 1) continue;
        budget.left--;
        read++;
        seen[index] = 1;
        const bytes = space.readPage(address);
        if (bytes === "gone") return read;
        const expected = digests.at(index).toString("hex");
        const actual = sha256Hex(bytes);
        if (expected === actual) continue;
        if (await this.#isInCache(space.mapFile(mapping), object, offset, bytes))
          modified.push({ offset, expected, actual });
      }
      if (!found.more || modified.length >= MAX_MODIFIED) break;
      from = found.pages.at(-1)! + PAGE_SIZE;
    }
    if (modified.length > 0) facts.push({ kind: "page-cache", process, object, pages: modified });
    return read;
  }

  /**
   * Whether the file says that nothing happened and yet reads as the process sees it: another content than when it was
   * measured. A file whose times changed is measured anew by the next sweep; one that was copied up beneath an overlay is
   * not what the process has mapped.
   */
  async #isInCache(
    path: string,
    object: { sha256: string | null; deleted: boolean },
    offset: bigint,
    actual: Uint8Array,
  ): Promise<boolean> {
    if (!this.#digests.isUnchanged(path, object)) return false;
    const read = await readFilePage(path, offset, Number(PAGE_SIZE));
    return Buffer.compare(read, actual) === 0;
  }
}
