import { closeSync, existsSync, openSync, readdirSync, readSync } from "node:fs";
import { errorCode, PimsError } from "../core/errors.ts";
import { PAGE_SIZE, type PageKind, type PageList, readPages, scanPages } from "../kernel/pagemap.ts";
import {
  areaAt,
  areExecutableAreas,
  type FileArea,
  isAddressSpaceThere,
  nextExecutableArea,
  nextSharedWritableFile,
} from "../kernel/procmap.ts";
import { backingOf, findArea, type Mapping, parseAllMaps } from "./mapping.ts";

/**
 * Which kernel interfaces a sweep uses: PROCMAP_QUERY and PAGEMAP_SCAN (Linux 6.11), or the text of `maps` and
 * `pagemap` that every kernel has. `auto` tries the newest and falls back.
 */
export type Method = "auto" | "fallback";

/** More executable mappings than any real program has; an address space beyond it is reported as not covered. */
const MAX_MAPPINGS = 65_536;
const MAX_MAPS_BYTES = 64 * 1024 * 1024;

/**
 * One address space, open. `maps` and `pagemap` are bound to it: after exec or exit they answer `gone`. Not so while
 * another process shares it (vfork, CLONE_VM): then they go on answering for the other one. So it is opened for one
 * measurement and not kept: what is opened by pid is what the process has now.
 */
export class AddressSpace {
  readonly pid: number;
  readonly #folder: string;
  readonly #maps: number;
  readonly #pagemap: number;
  #method: Method;
  #memory: number | undefined;
  #read: { readonly text: Uint8Array; readonly sharedWritable: readonly FileArea[] } | undefined;

  private constructor(pid: number, folder: string, method: Method, maps: number, pagemap: number) {
    this.pid = pid;
    this.#folder = folder;
    this.#method = method;
    this.#maps = maps;
    this.#pagemap = pagemap;
  }

  /**
   * Opens the address space of a process, or null when it has none (exited, kernel thread). A leader that has exited
   * while its threads go on has an empty `maps`: then a living thread's is opened.
   */
  static open(pid: number, method: Method = "auto"): AddressSpace | null {
    const direct = AddressSpace.#openFolder(pid, `/proc/${pid}`, method);
    if (direct !== null) return direct;
    try {
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        if (thread === String(pid)) continue;
        // By its own number, since only there are its `map_files`.
        const space = AddressSpace.#openFolder(pid, `/proc/${thread}`, method);
        if (space === null) continue;
        // A number that was another process's by then is not listed here any more.
        if (existsSync(`/proc/${pid}/task/${thread}`)) return space;
        space.close();
      }
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    return null;
  }

  static #openFolder(pid: number, folder: string, method: Method): AddressSpace | null {
    const opened: number[] = [];
    let space: AddressSpace | null = null;
    try {
      // One after the other: of a zombie `maps` opens and `pagemap` does not.
      opened.push(openSync(`${folder}/maps`, "r"));
      opened.push(openSync(`${folder}/pagemap`, "r"));
      const candidate = new AddressSpace(pid, folder, method, opened[0]!, opened[1]!);
      if (candidate.isAlive()) space = candidate;
    } catch (error) {
      if (!isGone(error)) throw error;
    } finally {
      if (space === null) for (const fd of opened) closeSync(fd);
    }
    return space;
  }

  /** Every executable mapping, in rising order, or `gone`. */
  mappings(): Mapping[] | "gone" {
    if (this.#method === "fallback") return this.#mappingsFromText();
    const mappings: Mapping[] = [];
    let address = 0n;
    while (true) {
      const area = nextExecutableArea(this.#maps, address, true);
      if (area === "unsupported") {
        this.#method = "fallback";
        return this.#mappingsFromText();
      }
      if (area === "gone") return "gone";
      if (area === null) return mappings;
      const name = area.name ?? "";
      mappings.push({
        start: area.start,
        end: area.end,
        writable: (area.flags & 2) !== 0,
        shared: (area.flags & 8) !== 0,
        offset: area.offset,
        device: area.device,
        inode: area.inode,
        name,
        backing: backingOf(name, area.inode),
      });
      if (mappings.length > MAX_MAPPINGS) throw tooMany(this.pid);
      address = area.end;
    }
  }

  /**
   * Whether the executable mappings are still these: start, end, permissions, offset, device and inode of each. Asks
   * the kernel for no names, so it is what an unchanged sweep costs.
   */
  sameMappings(known: readonly Mapping[]): boolean | "gone" {
    if (this.#method === "fallback") {
      const now = this.#mappingsFromText();
      if (now === "gone") return "gone";
      return now.length === known.length && now.every((mapping, index) => sameMapping(mapping, known[index]!));
    }
    const same = areExecutableAreas(this.#maps, known);
    return same === "unsupported" ? false : same;
  }

  /** What is mapped at `address`, with whatever permissions; null where nothing is. */
  areaAt(address: bigint): FileArea | null | "gone" {
    if (this.#method !== "fallback") {
      const area = areaAt(this.#maps, address);
      if (area !== "unsupported") return area;
    }
    const read = this.#lastRead();
    return read === "gone" ? "gone" : findArea(read.text, address);
  }

  /** The areas through which files are written to, at most `limit`. */
  sharedWritable(limit: number): readonly FileArea[] | "gone" {
    if (this.#method === "fallback") {
      const read = this.#lastRead();
      return read === "gone" ? "gone" : read.sharedWritable.slice(0, limit);
    }
    const areas: FileArea[] = [];
    for (let address = 0n; areas.length < limit; ) {
      const area = nextSharedWritableFile(this.#maps, address);
      if (area === "unsupported") {
        this.#method = "fallback";
        return this.sharedWritable(limit);
      }
      if (area === "gone") return "gone";
      if (area === null) break;
      areas.push(area);
      address = area.end;
    }
    return areas;
  }

  /** Pages of a mapping that are no longer the file's (they were written to), at most `limit`. */
  writtenPages(mapping: Mapping, limit: number): PageList | "gone" {
    return this.#pages("written", mapping.start, mapping.end, limit);
  }

  /** Pages of a mapping from `from` on that are the file's and in memory, at most `limit`. */
  filePages(mapping: Mapping, from: bigint, limit: number): PageList | "gone" {
    return this.#pages("file", from, mapping.end, limit);
  }

  #pages(kind: PageKind, start: bigint, end: bigint, limit: number): PageList | "gone" {
    if (this.#method !== "fallback") {
      const pages = scanPages(this.#pagemap, kind, start, end, limit);
      if (pages !== "unsupported") return pages;
    }
    return wasThere(() => readPages(this.#pagemap, kind, start, end, limit)) ?? "gone";
  }

  /** The page at `address` as the process sees it, or `gone`. */
  readPage(address: bigint): Uint8Array | "gone" {
    const page = Buffer.alloc(Number(PAGE_SIZE));
    try {
      this.#memory ??= openSync(`${this.#folder}/mem`, "r");
      // `mem` was opened by pid: the held `maps` tells afterwards whether it was still the same address space.
      const count = readSync(this.#memory, page, 0, page.length, address);
      return count === page.length && this.isAlive() ? page : "gone";
    } catch (error) {
      if (!this.isAlive()) return "gone";
      throw error;
    }
  }

  /** Path through which the very file of a mapping can be opened, also when it was deleted or replaced. */
  mapFile(mapping: Mapping): string {
    return `${this.#folder}/map_files/${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
  }

  /** Path of the program's own file. */
  exeFile(): string {
    return `${this.#folder}/exe`;
  }

  isAlive(): boolean {
    if (this.#method !== "fallback") {
      const there = isAddressSpaceThere(this.#maps);
      if (there !== "unsupported") return there;
      this.#method = "fallback";
    }
    return wasThere(() => readSync(this.#maps, Buffer.alloc(256), 0, 256, 0)) !== null;
  }

  close(): void {
    closeSync(this.#maps);
    closeSync(this.#pagemap);
    if (this.#memory !== undefined) closeSync(this.#memory);
  }

  #mappingsFromText(): Mapping[] | "gone" {
    const text = wasThere(() => readWhole(this.#maps, this.pid));
    if (text === null) return "gone";
    const { executable, sharedWritable } = parseAllMaps(text);
    this.#read = { text, sharedWritable };
    return executable;
  }

  /** What `mappings` or `sameMappings` read last. */
  #lastRead(): { readonly text: Uint8Array; readonly sharedWritable: readonly FileArea[] } | "gone" {
    if (this.#read === undefined && this.#mappingsFromText() === "gone") return "gone";
    return this.#read!;
  }
}

/**
 * What a read of `maps` or `pagemap` gave, or null when the address space is gone: the kernel then answers with nothing,
 * or with ESRCH once the process itself has been reaped.
 */
function wasThere<T extends number | Uint8Array | PageList | "gone">(read: () => T): T | null {
  try {
    const result = read();
    return result === 0 || (result instanceof Uint8Array && result.length === 0) ? null : result;
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** Whether two mappings are the same place, permissions and file. */
export function sameMapping(a: Mapping, b: Mapping): boolean {
  return (
    a.start === b.start &&
    a.end === b.end &&
    a.offset === b.offset &&
    a.inode === b.inode &&
    a.device === b.device &&
    a.writable === b.writable &&
    a.shared === b.shared
  );
}

/** Used again for every read: filling a new one with zeros would cost more than most texts. */
const chunk = Buffer.alloc(64 * 1024);

function readWhole(fd: number, pid: number): Uint8Array {
  const parts: Buffer[] = [];
  let total = 0;
  while (true) {
    const count = readSync(fd, chunk, 0, chunk.length, total);
    if (count === 0) return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    parts.push(Buffer.from(chunk.subarray(0, count)));
    total += count;
    if (total > MAX_MAPS_BYTES) throw tooMany(pid);
  }
}

function tooMany(pid: number): PimsError {
  return new PimsError("coverage-incomplete", `process ${pid} has more mappings than can be measured`);
}

/** The process has exited or executed meanwhile: an ordinary race, not an error. */
export function isGone(error: unknown): boolean {
  return ["ENOENT", "ESRCH"].includes(errorCode(error) ?? "");
}
