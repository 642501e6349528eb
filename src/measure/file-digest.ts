import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { withDeadline } from "../core/deadline.ts";
import { sha256Stream } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import type { ElfSegment } from "./elf.ts";
import { fillFrom } from "./fill-from.ts";
import { PageDigests } from "./page-digests.ts";
import { readSegments } from "./read-segments.ts";

/** A regular file as it was when its digest was taken. */
export interface MeasuredFile {
  /** `major:minor` of the file system, decimal. */
  readonly device: string;
  readonly inode: bigint;
  readonly size: bigint;
  /** True when no name in any folder leads to it any more. */
  readonly deleted: boolean;
  /** SHA-256 of the whole content, hexadecimal. */
  readonly sha256: string;
  /** PT_LOAD of an ELF file, in its order; none of another file. */
  readonly segments: readonly ElfSegment[];
  /** Of its code; null where there is too much of it. */
  readonly pages: PageDigests | null;
}

interface FileStats {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly nlink: bigint;
}

interface Signature {
  readonly key: string;
  readonly times: string;
}

/** No program is larger; beyond it the file is reported as not covered. */
const MAX_FILE_BYTES = 4n * 1024n * 1024n * 1024n;
const CHUNK_BYTES = 1024 * 1024;
/** A file of a FUSE or network file system may never answer. */
const FILE_DEADLINE_MS = 20_000;
const MAX_CACHED_FILES = 65_536;
const MAX_CACHED_PAGE_BYTES = 128 * 1024 * 1024;

/**
 * Digests of files, taken again only when device, inode, size, mtime or ctime changed. Counts what it hashed, so that
 * "a sweep without change hashes nothing" can be seen.
 */
export class FileDigests {
  readonly #cache = new Map<string, { times: string; file: MeasuredFile; round: number }>();
  #distrusted: ReadonlySet<string> = new Set();
  #round = 0;
  #pageBytes = 0;
  hashedFiles = 0;
  hashedBytes = 0n;

  /**
   * The file that `path` leads to. Throws PimsError `coverage-incomplete` for what is no regular file, too large or beyond
   * the budget, changes while it is read, or does not answer in time; system errors (ENOENT, …) as they are.
   */
  async measure(path: string, budget?: HashBudget): Promise<MeasuredFile> {
    const before = await withDeadline(path, FILE_DEADLINE_MS, () => stat(path, { bigint: true }));
    const cached = this.#known(before);
    if (cached !== undefined) return cached;
    if (!before.isFile()) throw new PimsError("coverage-incomplete", "executable code is mapped from no regular file");
    if (before.size > MAX_FILE_BYTES) throw new PimsError("coverage-incomplete", "an executable file is too large");
    budget?.take(before.size);
    return withDeadline(path, FILE_DEADLINE_MS, (expired) => this.#hash(path, expired));
  }

  /** Whether a file is still as it was measured, by its times. Same errors as measure; hashes nothing. */
  async isUnchanged(path: string, file: { sha256: string | null; deleted: boolean }): Promise<boolean> {
    const known = this.#known(await withDeadline(path, FILE_DEADLINE_MS, () => stat(path, { bigint: true })));
    return known !== undefined && known.sha256 === file.sha256 && known.deleted === file.deleted;
  }

  /**
   * From now on the times of these files, `device:inode`, prove nothing: each is hashed again when it is asked for, once
   * until the next call.
   */
  distrust(files: ReadonlySet<string>): void {
    this.#distrusted = files;
    this.#round++;
  }

  /** What is known of a file that is still as it was. */
  #known(stats: FileStats): MeasuredFile | undefined {
    const { key, times } = signature(stats);
    const cached = this.#cache.get(key);
    if (cached?.times !== times) return undefined;
    const trusted = this.#distrusted.size === 0 || !this.#distrusted.has(`${deviceText(stats.dev)}:${stats.ino}`);
    return trusted || cached.round === this.#round ? cached.file : undefined;
  }

  async #hash(path: string, expired: AbortSignal): Promise<MeasuredFile> {
    // O_NONBLOCK: opening a fifo must not wait for its writer.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const before = await handle.stat({ bigint: true });
      if (!before.isFile() || before.size > MAX_FILE_BYTES)
        throw new PimsError("coverage-incomplete", "an executable file was exchanged while it was read");
      const segments = await readSegments(handle, before.size);
      const pages = PageDigests.of(segments);
      const sha256 = await hashContent(handle, before.size, expired, (position, bytes) => {
        pages?.add(position, bytes);
        this.hashedBytes += BigInt(bytes.length);
      });
      this.hashedFiles++;
      const after = await handle.stat({ bigint: true });
      const { key, times } = signature(before);
      if (signature(after).times !== times)
        throw new PimsError("coverage-incomplete", "an executable file was changed while it was read");
      const file: MeasuredFile = {
        device: deviceText(before.dev),
        inode: before.ino,
        size: before.size,
        deleted: before.nlink === 0n,
        sha256,
        segments,
        pages,
      };
      this.#keep(key, times, file);
      return file;
    } finally {
      await handle.close();
    }
  }

  #keep(key: string, times: string, file: MeasuredFile): void {
    this.#pageBytes += file.pages?.bytes ?? 0;
    if (this.#cache.size >= MAX_CACHED_FILES || this.#pageBytes > MAX_CACHED_PAGE_BYTES) {
      this.#cache.clear();
      this.#pageBytes = file.pages?.bytes ?? 0;
    }
    this.#cache.set(key, { times, file, round: this.#round });
  }
}

/** Bytes that may still be hashed; what is beyond is put off, so that one container's files do not stop all others. */
export class HashBudget {
  readonly #whole: bigint;
  #left: bigint;

  constructor(bytes: bigint) {
    this.#whole = bytes;
    this.#left = bytes;
  }

  /** Throws `coverage-incomplete` when it is used up. A file larger than all of it is let through alone. */
  take(bytes: bigint): void {
    if (bytes > this.#left && this.#left < this.#whole)
      throw new PimsError("coverage-incomplete", "more new code than is hashed in one sweep");
    this.#left = bytes > this.#left ? 0n : this.#left - bytes;
  }
}

async function hashContent(
  handle: FileHandle,
  size: bigint,
  expired: AbortSignal,
  take: (position: number, bytes: Uint8Array) => void,
): Promise<string> {
  const hash = sha256Stream();
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let position = 0;
  while (position < size && !expired.aborted) {
    const filled = await fillFrom(handle, chunk, position);
    if (filled === 0) break;
    const bytes = chunk.subarray(0, filled);
    hash.update(bytes);
    take(position, bytes);
    position += filled;
  }
  // Nobody waits for it any more, and half a file's digest must not be kept.
  if (expired.aborted) throw new PimsError("coverage-incomplete", "an executable file was not read in time");
  return hash.hex();
}

/**
 * `length` bytes of a file at `offset`; what lies past its end is zeros, as the kernel maps it. Same errors as measure.
 */
export async function readFilePage(path: string, offset: bigint, length: number): Promise<Uint8Array> {
  return withDeadline(path, FILE_DEADLINE_MS, async () => {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const page = Buffer.alloc(length);
      await fillFrom(handle, page, Number(offset));
      return page;
    } finally {
      await handle.close();
    }
  });
}

function signature(stats: FileStats): Signature {
  return {
    key: `${stats.dev}:${stats.ino}`,
    // The link count decides `deleted`; a change of it moves ctime too.
    times: `${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}:${stats.nlink}`,
  };
}

/** makedev(3) taken apart, as Linux packs it for user space. */
export function deviceText(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xffff_f000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}
