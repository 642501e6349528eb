import { hash } from "node:crypto";
import { PAGE_SIZE } from "../kernel/pagemap.ts";
import type { ElfSegment } from "./elf.ts";
import { pageCeiling, pageFloor } from "./place.ts";

const PAGE_BYTES = Number(PAGE_SIZE);
const DIGEST_BYTES = 32;
/** 1 GiB of code: 8 MiB of digests. No program has more; beyond it a file's pages are not known one by one. */
const MAX_PAGES = 262_144;

interface Run {
  /** Number of the first page in the file, and of its digest among all of them. */
  readonly first: number;
  readonly index: number;
  readonly count: number;
}

/**
 * SHA-256 of each page of a file's executable segments, as the kernel maps them: whole pages, zeros past the end of the
 * file. Taken while the file is hashed, so that they are of the same bytes as its digest.
 */
export class PageDigests {
  readonly #runs: readonly Run[];
  readonly #digests: Buffer;
  readonly count: number;

  /** Null where the segments have more pages than are kept. */
  static of(segments: readonly ElfSegment[]): PageDigests | null {
    const runs: Run[] = [];
    let pages = 0;
    for (const { executable, offset, fileSize } of segments) {
      if (!executable || fileSize === 0n) continue;
      const first = Number(pageFloor(offset) / PAGE_SIZE);
      const count = Number(pageCeiling(offset + fileSize) / PAGE_SIZE) - first;
      if (pages + count > MAX_PAGES) return null;
      runs.push({ first, index: pages, count });
      pages += count;
    }
    return new PageDigests(runs, pages);
  }

  private constructor(runs: readonly Run[], count: number) {
    this.#runs = runs;
    this.#digests = Buffer.alloc(count * DIGEST_BYTES);
    this.count = count;
  }

  /** Memory that the digests take. */
  get bytes(): number {
    return this.#digests.length;
  }

  /** Takes bytes of the file, which start at a page; the last page may be cut by the file's end. */
  add(position: number, bytes: Uint8Array): void {
    const start = position / PAGE_BYTES;
    const end = start + Math.ceil(bytes.length / PAGE_BYTES);
    for (const { first, index, count } of this.#runs) {
      for (let page = Math.max(first, start); page < Math.min(first + count, end); page++) {
        const at = (page - start) * PAGE_BYTES;
        const digest = hash("sha256", wholePage(bytes.subarray(at, at + PAGE_BYTES)), "buffer");
        digest.copy(this.#digests, (index + page - first) * DIGEST_BYTES);
      }
    }
  }

  /** The number, among the pages that are kept, of the page at an offset of the file; null where it is no code. */
  indexOf(offset: bigint): number | null {
    const page = Number(offset / PAGE_SIZE);
    const run = this.#runs.find(({ first, count }) => page >= first && page < first + count);
    return run === undefined ? null : run.index + page - run.first;
  }

  /** The digest of the page with this number. */
  at(index: number): Buffer {
    return this.#digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
  }
}

function wholePage(bytes: Uint8Array): Uint8Array {
  if (bytes.length === PAGE_BYTES) return bytes;
  const page = Buffer.alloc(PAGE_BYTES);
  page.set(bytes);
  return page;
}
