import { describeError, errorCode } from "../core/errors.ts";
import { AddressSpace, isGone, type Method, sameMapping } from "../process/address-space.ts";
import { programFile, readCodeObject } from "./code-object.ts";
import type { CodeObject } from "./facts.ts";
import type { FileDigests } from "./file-digest.ts";
import type { Gathering } from "./gathering.ts";
import type { HostPrograms } from "./host-programs.ts";
import { type MeasuredMapping, meetAgain, releaseProgram, type Watched } from "./watched.ts";
import type { WritableCode } from "./writable-code.ts";
import { compareWrittenPages, MAX_PAGES_A_MAPPING } from "./written-pages.ts";

/** A mapping may go away while it is read once; who makes it happen in each sweep hides something. */
const MAX_VANISHED = 2;

/** Shared writable mappings of one process; databases have some, none has as many. */
const MAX_WRITABLE = 4096;

/** Digests of files that one process has mapped as code; no real one has as many. */
const MAX_MAPPED = 1024;

/**
 * Measures the code that one process has mapped. Where nothing has changed since the last time it asks the kernel for mapping
 * bounds and written-to pages, and hashes nothing.
 */
export class MappedCode {
  readonly #digests: FileDigests;
  readonly #hostPrograms: HostPrograms;
  readonly #writable: WritableCode;
  readonly #method: Method;

  constructor(digests: FileDigests, hostPrograms: HostPrograms, writable: WritableCode, method: Method) {
    this.#digests = digests;
    this.#hostPrograms = hostPrograms;
    this.#writable = writable;
    this.#method = method;
  }

  /** Measures what is mapped now. `helper`: a short-lived one of the runtime, none of the container's own. */
  async measure(watched: Watched, gathering: Gathering): Promise<"measured" | "helper" | "gone"> {
    const { process } = watched;
    let space: AddressSpace | null = null;
    try {
      space = AddressSpace.open(process.pid, this.#method);
      if (space === null) return "gone";
      return await this.#measureSpace(space, watched, gathering);
    } catch (error) {
      if (isGone(error) && space?.isAlive() !== true) return "gone";
      if (errorCode(error) === undefined) throw error;
      gathering.facts.push({ kind: "unreadable", process, text: describeError(error) });
      return "measured";
    } finally {
      space?.close();
    }
  }

  async #measureSpace(
    space: AddressSpace,
    watched: Watched,
    gathering: Gathering,
  ): Promise<"measured" | "helper" | "gone"> {
    const { coverage, facts } = gathering;
    const same = watched.mappings.length > 0 && space.sameMappings(watched.mappings);
    if (same === "gone") return "gone";
    let outcome: "measured" | "helper" | "vanished" | "gone" = "measured";
    const asked = same && this.#allChecked(watched, gathering);
    if (!same || (!asked && this.#anyFileChanged(space, watched, gathering)))
      outcome = await this.#measureMappings(space, watched, gathering);
    if (outcome === "gone") return "gone";
    let vanished = outcome === "vanished";
    const { process } = watched;
    coverage.mappings += watched.measured.length;
    for (const { mapping, object } of watched.measured) {
      if (mapping.shared || object.backing === "anonymous") continue;
      const list = space.writtenPages(mapping, MAX_PAGES_A_MAPPING);
      if (list === "gone") return "gone";
      if (list.pages.length === 0) continue;
      const written = await compareWrittenPages(space, mapping, list);
      if (written === "gone") return "gone";
      vanished ||= written.vanished;
      coverage.pagesCompared += written.compared;
      if (written.pages.length > 0) facts.push({ kind: "modified", process, object, pages: written.pages });
      if (written.more)
        facts.push({ kind: "unreadable", process, text: "more written-to code pages than a sweep compares" });
    }
    const writable = space.sharedWritable(MAX_WRITABLE);
    if (writable === "gone") return "gone";
    if (writable.length > 0) this.#writable.note(process, writable);
    if (writable.length === MAX_WRITABLE)
      facts.push({ kind: "unreadable", process, text: "it has more files mapped writable than a sweep lists" });
    watched.vanished = vanished ? watched.vanished + 1 : 0;
    if (vanished) watched.mappings = [];
    if (watched.vanished > MAX_VANISHED)
      facts.push({ kind: "unreadable", process, text: "its executable mappings change faster than they can be read" });
    return outcome === "helper" ? "helper" : "measured";
  }

  /** Reads all mappings anew and reports each distinct object once for the process. */
  async #measureMappings(
    space: AddressSpace,
    watched: Watched,
    gathering: Gathering,
  ): Promise<"measured" | "helper" | "vanished" | "gone"> {
    const mappings = space.mappings();
    if (mappings === "gone") return "gone";
    // Other mappings may be another program's, of which no event told.
    if (watched.measured.length > 0) meetAgain(watched, this.#method);
    const { process } = watched;
    const program = programFile(space);
    const budget = gathering.budgetOf(process);
    const measured: MeasuredMapping[] = [];
    const objects = new Map<string, CodeObject>();
    const overlong = new Set<string>();
    const unread: string[] = [];
    let vanished = false;
    for (const mapping of mappings) {
      try {
        const code = await readCodeObject(space, mapping, program, this.#digests, budget);
        if (code === "gone") return "gone";
        const { object, file } = code;
        measured.push({ mapping, object, file, mappingKey: `${mapping.device}:${mapping.inode}` });
        const key = fileKey(object);
        if (code.overlong) overlong.add(key);
        // Told when it is so for the second time: a library that is being loaded is another one by then.
        if (code.overlong && !watched.overlong.has(key)) continue;
        objects.set(`${key}:${object.inode === 0n ? mapping.start : object.place}`, object);
      } catch (error) {
        if (!space.isAlive()) return "gone";
        if (errorCode(error) === undefined) throw error;
        if (isGone(error)) vanished = true;
        else unread.push(describeError(error));
        // Its written-to pages can be compared all the same.
        const before = watched.measured.find((one) => sameMapping(one.mapping, mapping));
        if (before !== undefined) measured.push({ ...before, mapping });
      }
    }
    if (!space.isAlive()) return "gone";
    for (const text of new Set(unread)) gathering.facts.push({ kind: "unreadable", process, text });
    const complete = unread.length === 0 && !vanished;
    const helper = complete && process.container !== null && (await this.#hostPrograms.isHelper([...objects.values()]));
    watched.measured = measured;
    watched.overlong = overlong;
    // What could not be read is tried again in the next sweep, and so is a helper: its own program comes after it.
    watched.mappings = complete && !helper && overlong.size === 0 ? mappings : [];
    if (complete) releaseProgram(watched);
    if (helper) {
      watched.start?.release();
      watched.start = null;
      return "helper";
    }
    const mapped = digestsOf(objects.values());
    for (const object of objects.values()) {
      if (object.backing === "kernel") continue;
      const unbacked = object.backing === "anonymous" || object.backing === "memfd";
      gathering.facts.push(unbacked ? { kind: "code", process, object, mapped } : { kind: "code", process, object });
    }
    return vanished ? "vanished" : "measured";
  }

  /** Whether each of its files has been asked about in this sweep, which is so of most processes. */
  #allChecked({ measured }: Watched, { checkedFiles }: Gathering): boolean {
    return measured.every(({ file }) => file === null || checkedFiles.has(file));
  }

  /** Whether a mapped file was written to in place. Each distinct file is asked about once a sweep. */
  #anyFileChanged(space: AddressSpace, watched: Watched, { checkedFiles }: Gathering): boolean {
    for (const { mapping, object, file } of watched.measured) {
      if (file === null || checkedFiles.has(file)) continue;
      try {
        if (!this.#digests.isUnchanged(space.mapFile(mapping), object)) return true;
      } catch (error) {
        // Measuring it anew says what is the matter.
        if (errorCode(error) === undefined) throw error;
        return true;
      }
      checkedFiles.add(file);
    }
    return false;
  }
}

function fileKey({ device, inode }: CodeObject): string {
  return `${device}:${inode}`;
}

/** The program's first. */
function digestsOf(objects: Iterable<CodeObject>): string[] {
  const files = [...objects].filter(({ backing }) => backing === "file");
  const programFirst = files.sort((a, b) => Number(b.role === "executable") - Number(a.role === "executable"));
  const digests = new Set(programFirst.map(({ sha256 }) => sha256).filter((digest) => digest !== null));
  return [...digests].slice(0, MAX_MAPPED);
}
