import { readSync } from "node:fs";
import { PimsError } from "../core/errors.ts";
import { ERRNO, errno, fixedBuffer, ioctl, systemCallError } from "./libc.ts";

export const PAGE_SIZE = 4096n;

// _IOWR('f', 16, struct pm_scan_arg), 96 bytes; Linux 6.7, include/uapi/linux/fs.h.
const PAGEMAP_SCAN = 0xc060_6610;
const ARGUMENT_BYTES = 96;
const REGION_BYTES = 24;
// The kernel allocates room for as many in each call, which costs more than the rare second call.
const REGIONS = 64;
const PAGE_IS_FILE = 1n << 2n;
const PAGE_IS_PRESENT = 1n << 3n;
const PAGE_IS_SWAPPED = 1n << 4n;

const SIZE = BigInt(ARGUMENT_BYTES);
const ROOM = BigInt(REGIONS);

const argument = fixedBuffer(ARGUMENT_BYTES);
/** The same memory as 64-bit words (all of Linux's 64-bit architectures that Node runs on are little-endian). */
const words = new BigUint64Array(argument.view.buffer, argument.view.byteOffset, ARGUMENT_BYTES / 8);
const regions = fixedBuffer(REGIONS * REGION_BYTES);

/** Page addresses, lowest first, at most `limit`; `more` says that there are others. */
export interface PageList {
  readonly pages: bigint[];
  readonly more: boolean;
}

/**
 * `written`: present or swapped, and not a file's page; in a private file mapping, exactly the pages that have been
 * written to. `file`: a file's page, present in the page table, so that looking at it reads no disk.
 */
export type PageKind = "written" | "file";

/**
 * The pages of [start, end) that are of this kind. `gone` when the address space no longer exists, `unsupported` before Linux 6.7.
 */
export function scanPages(
  pagemapFd: number,
  kind: PageKind,
  start: bigint,
  end: bigint,
  limit: number,
): PageList | "gone" | "unsupported" {
  const pages: bigint[] = [];
  let from = start;
  while (from < end) {
    words[0] = SIZE;
    words[1] = 0n;
    words[2] = from;
    words[3] = end;
    words[4] = 0n;
    words[5] = regions.address;
    words[6] = ROOM;
    words[7] = 0n;
    // What is inverted, what all of must be so, what one of must be so.
    words[8] = kind === "written" ? PAGE_IS_FILE : 0n;
    words[9] = kind === "written" ? PAGE_IS_FILE : PAGE_IS_FILE | PAGE_IS_PRESENT;
    words[10] = kind === "written" ? PAGE_IS_PRESENT | PAGE_IS_SWAPPED : 0n;
    words[11] = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
    const found = ioctl(pagemapFd, PAGEMAP_SCAN, argument.pointer);
    if (found < 0) {
      const error = errno();
      if (error === ERRNO.ESRCH) return "gone";
      if (error === ERRNO.ENOTTY || error === ERRNO.EINVAL) return "unsupported";
      if (error === ERRNO.EINTR) continue;
      throw systemCallError("PAGEMAP_SCAN", error);
    }
    for (let index = 0; index < found; index++) {
      const regionEnd = regions.view.getBigUint64(index * REGION_BYTES + 8, true);
      for (let page = regions.view.getBigUint64(index * REGION_BYTES, true); page < regionEnd; page += PAGE_SIZE) {
        if (pages.length === limit) return { pages, more: true };
        pages.push(page);
      }
    }
    const walkEnd = words[4];
    if (walkEnd <= from) throw new PimsError("system-call", "PAGEMAP_SCAN made no progress");
    from = walkEnd;
  }
  return { pages, more: false };
}

// Documentation/admin-guide/mm/pagemap.rst: bit 61 file page or shared memory, 62 swapped, 63 present.
const ENTRY_FILE = 1 << 29;
const ENTRY_SWAPPED = 1 << 30;
const ENTRY_PRESENT = 1 << 31;
const ANY_WHERE = ENTRY_PRESENT | ENTRY_SWAPPED;
const ENTRY_BYTES = 8;
const chunk = Buffer.alloc(64 * 1024);

/** The same by reading `/proc/PID/pagemap`, for kernels without PAGEMAP_SCAN. Costs 8 bytes read for each page. */
export function readPages(
  pagemapFd: number,
  kind: PageKind,
  start: bigint,
  end: bigint,
  limit: number,
): PageList | "gone" {
  const pages: bigint[] = [];
  let page = start;
  while (page < end) {
    const length = Math.min(chunk.length, Number((end - page) / PAGE_SIZE) * ENTRY_BYTES);
    const count = readSync(pagemapFd, chunk, 0, length, (page / PAGE_SIZE) * BigInt(ENTRY_BYTES));
    if (count === 0) return "gone";
    for (let at = 0; at + ENTRY_BYTES <= count; at += ENTRY_BYTES, page += PAGE_SIZE) {
      const high = chunk.readInt32LE(at + 4);
      const isFile = (high & ENTRY_FILE) !== 0;
      const wanted = kind === "file" ? isFile && (high & ENTRY_PRESENT) !== 0 : !isFile && (high & ANY_WHERE) !== 0;
      if (!wanted) continue;
      if (pages.length === limit) return { pages, more: true };
      pages.push(page);
    }
  }
  return { pages, more: false };
}
