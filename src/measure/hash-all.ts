import { closeSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { toJsonText } from "../core/bytes.ts";
import { sha256Hex, sha256Stream } from "../core/digest.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { PAGE_SIZE } from "../kernel/pagemap.ts";
import { AddressSpace, isGone } from "../process/address-space.ts";
import type { Mapping } from "../process/mapping.ts";
import { parseStat } from "../process/stat.ts";
import { programFile, readCodeObject } from "./code-object.ts";
import type { CodeObject, Fact, ModifiedPage, ProcessRef } from "./facts.ts";
import { FileDigests, readFilePage } from "./file-digest.ts";
import { modifiedPage } from "./written-pages.ts";

const CHUNK_BYTES = 1024 * 1024;

interface Reference {
  readonly object: CodeObject;
  /** SHA-256 of the file's bytes at the mapping's place, zeros past its end. */
  readonly digest: string;
}

/**
 * What the sweep is compared with, and nothing else uses: every sweep reads and hashes all bytes in memory of every
 * executable file mapping, as measuring agents before it did. Its facts have the sweep's own form.
 */
export class HashAll {
  readonly #digests = new FileDigests();
  readonly #references = new Map<string, Reference>();
  readonly #reported = new Set<string>();
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  hashedBytes = 0n;

  /** Code not reported before, and every page that differs from its file. */
  async sweep(pids: readonly number[]): Promise<Fact[]> {
    const facts: Fact[] = [];
    for (const pid of pids) {
      const space = AddressSpace.open(pid);
      if (space === null) continue;
      try {
        await this.#measure(space, facts);
      } finally {
        space.close();
      }
    }
    return facts;
  }

  async #measure(space: AddressSpace, facts: Fact[]): Promise<void> {
    const mappings = space.mappings();
    if (mappings === "gone") return;
    const memory = openSync(`/proc/${space.pid}/mem`, "r");
    try {
      for (const mapping of mappings) {
        // No file says what these should hold.
        if (mapping.backing === "anonymous" || mapping.backing === "kernel") continue;
        await this.#compare(space, memory, mapping, facts);
      }
    } catch (error) {
      if (isGone(error) || errorCode(error) === undefined) throw error;
      facts.push({ kind: "unreadable", process: refer(space.pid), text: describeError(error) });
    } finally {
      closeSync(memory);
    }
  }

  async #compare(space: AddressSpace, memory: number, mapping: Mapping, facts: Fact[]): Promise<void> {
    const reference = await this.#reference(space, mapping);
    if (reference === null) return;
    const { object } = reference;
    const key = `${space.pid}:${object.device}:${object.inode}`;
    if (!this.#reported.has(key)) facts.push({ kind: "code", process: refer(space.pid), object });
    this.#reported.add(key);
    if (this.#hash(memory, mapping) === reference.digest) return;
    const pages = await differingPages(space, mapping);
    if (pages.length > 0) facts.push({ kind: "modified", process: refer(space.pid), object, pages });
  }

  /** Taken from the file once: what is measured is the cost of reading memory again and again. */
  async #reference(space: AddressSpace, mapping: Mapping): Promise<Reference | null> {
    const key = `${mapping.device}:${mapping.inode}:${mapping.offset}:${mapping.end - mapping.start}`;
    const known = this.#references.get(key);
    if (known !== undefined) return known;
    const code = await readCodeObject(space, mapping, programFile(space), this.#digests);
    if (code === "gone") return null;
    const { object } = code;
    const bytes = await readFilePage(space.mapFile(mapping), mapping.offset, Number(mapping.end - mapping.start));
    const reference = { object, digest: sha256Hex(bytes) };
    this.#references.set(key, reference);
    return reference;
  }

  #hash(memory: number, { start, end }: Mapping): string {
    const hash = sha256Stream();
    for (let at = start; at < end; ) {
      const count = readSync(memory, this.#chunk, 0, Math.min(CHUNK_BYTES, Number(end - at)), at);
      if (count === 0) break;
      hash.update(this.#chunk.subarray(0, count));
      at += BigInt(count);
      this.hashedBytes += BigInt(count);
    }
    return hash.hex();
  }
}

async function differingPages(space: AddressSpace, mapping: Mapping): Promise<ModifiedPage[]> {
  const pages: ModifiedPage[] = [];
  for (let address = mapping.start; address < mapping.end; address += PAGE_SIZE) {
    const actual = space.readPage(address);
    if (actual === "gone") return [];
    const offset = address - mapping.start + mapping.offset;
    const expected = await readFilePage(space.mapFile(mapping), offset, Number(PAGE_SIZE));
    if (Buffer.compare(expected, actual) !== 0) pages.push(modifiedPage(offset, expected, actual));
  }
  return pages;
}

function refer(pid: number): ProcessRef {
  const { startTime, comm } = parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  const exe = toJsonText(readlinkSync(`/proc/${pid}/exe`, { encoding: "buffer" }));
  return { pid, startTime, comm, exe, container: null };
}
