import { hash } from "node:crypto";
import { PAGE_SIZE } from "../kernel/pagemap.ts";
import type { ElfSegment } from "./elf.ts";
import { pageCeiling, pageFloor } from "./place.ts";

const PAGE_BYTES = Number(PAGE_SIZE);
const DIGEST_BYTES = 32;
/** 1 GiB of code: 8 MiB of digests. No program has more; beyond it a file's pages are not known one by one. */
const MAX_PAGES = 262_144;

interface Run {
  /** Page numbers of the file. */
  readonly first: number;
  readonly count: number;
  readonly digests: Buffer;
}

/**
 * SHA-256 of each page of a file's executable segments, as the kernel maps them: whole pages, zeros past the end of the
 * file. Taken while the file is hashed, so that they are of the same bytes as its digest.
 */
export class PageDigests {
  readonly #runs: Run[];
  /** Memory that the digests take. */
  readonly bytes: number;

  /** Null where the segments have more pages than are kept. */
  static of(segments: readonly ElfSegment[]): PageDigests | null {
    const runs: Run[] = [];
    let pages = 0;
    for (const { executable, offset, fileSize } of segments) {
      if (!executable || fileSize === 0n) continue;
      const first = Number(pageFloor(offset) / PAGE_SIZE);
      const count = Number(pageCeiling(offset + fileSize) / PAGE_SIZE) - first;
      pages += count;
      if (pages > MAX_PAGES) return null;
      runs.push({ first, count, digests: Buffer.alloc(count * DIGEST_BYTES) });
    }
    return new PageDigests(runs, pages * DIGEST_BYTES);
  }

  private constructor(runs: Run[], bytes: number) {
    this.#runs = runs;
    this.bytes = bytes;
  }

  /** Takes bytes of the file, which start at a page; the last page may be cut by the file's end. */
  add(position: number, bytes: Uint8Array): void {
    const start = position / PAGE_BYTES;
    const end = start + Math.ceil(bytes.length / PAGE_BYTES);
    for (const { first, count, digests } of this.#runs) {
      for (let page = Math.max(first, start); page < Math.min(first + count, end); page++) {
        const at = (page - start) * PAGE_BYTES;
        const digest = hash("sha256", wholePage(bytes.subarray(at, at + PAGE_BYTES)), "buffer");
        digest.copy(digests, (page - first) * DIGEST_BYTES);
      }
    }
  }

  /** The digest of the page at an offset of the file, a multiple of the page size; null where it is no code. */
  at(offset: bigint): Buffer | null {
    const page = Number(offset / PAGE_SIZE);
    for (const { first, count, digests } of this.#runs)
      if (page >= first && page < first + count)
        return digests.subarray((page - first) * DIGEST_BYTES, (page - first + 1) * DIGEST_BYTES);
    return null;
  }
}

function wholePage(bytes: Uint8Array): Uint8Array {
  if (bytes.length === PAGE_BYTES) return bytes;
  const page = Buffer.alloc(PAGE_BYTES);
  page.set(bytes);
  return page;
}
