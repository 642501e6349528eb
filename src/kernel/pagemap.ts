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
 * The pages of [start, end) that are present or swapped and are not pages of a file: in a private file mapping, exactly
 * those that have been written to. `gone` when the address space no longer exists, `unsupported` before Linux 6.7.
 */
export function scanAnonymousPages(
  pagemapFd: number,
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
    // Inverted FILE: a page matches when it is not a file's page …
    words[8] = PAGE_IS_FILE;
    words[9] = PAGE_IS_FILE;
    // … and is present or swapped.
    words[10] = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
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
const ENTRY_BYTES = 8;
const chunk = Buffer.alloc(64 * 1024);

/** The same by reading `/proc/PID/pagemap`, for kernels without PAGEMAP_SCAN. Costs 8 bytes read for each page. */
export function readAnonymousPages(pagemapFd: number, start: bigint, end: bigint, limit: number): PageList | "gone" {
  const pages: bigint[] = [];
  let page = start;
  while (page < end) {
    const wanted = Math.min(chunk.length, Number((end - page) / PAGE_SIZE) * ENTRY_BYTES);
    const count = readSync(pagemapFd, chunk, 0, wanted, (page / PAGE_SIZE) * BigInt(ENTRY_BYTES));
    if (count === 0) return "gone";
    for (let at = 0; at + ENTRY_BYTES <= count; at += ENTRY_BYTES, page += PAGE_SIZE) {
      const high = chunk.readInt32LE(at + 4);
      if ((high & (ENTRY_PRESENT | ENTRY_SWAPPED)) === 0 || (high & ENTRY_FILE) !== 0) continue;
      if (pages.length === limit) return { pages, more: true };
      pages.push(page);
    }
  }
  return { pages, more: false };
}
