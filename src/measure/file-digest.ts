import type { FileHandle } from "node:fs/promises";
import { sha256Stream } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { type FileStats, fileStats, isRegular } from "../kernel/file-stats.ts";
import { answering } from "./answering.ts";
import type { ElfSegment } from "./elf.ts";
import { fillFrom } from "./fill-from.ts";
import { PageDigests } from "./page-digests.ts";
import { readSegments } from "./read-segments.ts";
import { withFile } from "./with-file.ts";

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

interface Signature {
  readonly key: string;
  readonly times: string;
}

/** No program is larger; beyond it the file is reported as not covered. */
const MAX_FILE_BYTES = 4n * 1024n * 1024n * 1024n;
const CHUNK_BYTES = 1024 * 1024;
/** All of one file; a slow disk's largest waits for the next sweep. */
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
    const before = fileStats(path);
    const cached = this.#known(before);
    if (cached !== undefined) return cached;
    if (!isRegular(before))
      throw new PimsError("coverage-incomplete", "executable code is mapped from no regular file");
    if (before.size > MAX_FILE_BYTES) throw new PimsError("coverage-incomplete", "an executable file is too large");
    budget?.take(before.size);
    return this.#hash(path, before.device);
  }

  /** Whether a file is still as it was measured, by its times. Same errors as measure; hashes nothing. */
  isUnchanged(path: string, file: { sha256: string | null; deleted: boolean }): boolean {
    const known = this.#known(fileStats(path));
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

  /** Whether the file's times prove that it is as it was. */
  isTrusted({ device, inode }: { readonly device: string; readonly inode: bigint }): boolean {
    return !this.#distrusted.has(`${device}:${inode}`);
  }

  /** What is known of a file that is still as it was. */
  #known(stats: FileStats): MeasuredFile | undefined {
    const { key, times } = signature(stats);
    const cached = this.#cache.get(key);
    if (cached?.times !== times) return undefined;
    const trusted = this.#distrusted.size === 0 || !this.#distrusted.has(key);
    return trusted || cached.round === this.#round ? cached.file : undefined;
  }

  #hash(path: string, device: string): Promise<MeasuredFile> {
    return withFile(path, device, async (handle) => {
      // Twice: that a file is deleted changes its times, and often happens right after it was executed.
      const file = (await this.#hashOpen(handle, device)) ?? (await this.#hashOpen(handle, device));
      if (file === null) throw new PimsError("coverage-incomplete", "an executable file was changed while it was read");
      return file;
    });
  }

  /** Null when the file was changed meanwhile. */
  async #hashOpen(handle: FileHandle, device: string): Promise<MeasuredFile | null> {
    const before = fileStats(handle.fd);
    if (!isRegular(before) || before.size > MAX_FILE_BYTES)
      throw new PimsError("coverage-incomplete", "an executable file was exchanged while it was read");
    const segments = await answering(device, () => readSegments(handle, before.size));
    const pages = PageDigests.of(segments);
    const sha256 = await hashContent(handle, before, (position, bytes) => {
      pages?.add(position, bytes);
      this.hashedBytes += BigInt(bytes.length);
    });
    this.hashedFiles++;
    const { key, times } = signature(before);
    if (signature(fileStats(handle.fd)).times !== times) return null;
    const file: MeasuredFile = {
      device: before.device,
      inode: before.inode,
      size: before.size,
      deleted: before.links === 0,
      sha256,
      segments,
      pages,
    };
    this.#keep(key, times, file);
    return file;
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
  { size, device }: FileStats,
  take: (position: number, bytes: Uint8Array) => void,
): Promise<string> {
  const hash = sha256Stream();
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const end = performance.now() + FILE_DEADLINE_MS;
  let position = 0;
  while (position < size) {
    // Half a file's digest is none.
    if (performance.now() > end) throw new PimsError("coverage-incomplete", "an executable file was not read in time");
    const filled = await answering(device, () => fillFrom(handle, chunk, position));
    if (filled === 0) break;
    const bytes = chunk.subarray(0, filled);
    hash.update(bytes);
    take(position, bytes);
    position += filled;
  }
  return hash.hex();
}

/**
 * `length` bytes of a file at `offset`; what lies past its end is zeros, as the kernel maps it. Same errors as measure.
 */
export async function readFilePage(path: string, offset: bigint, length: number): Promise<Uint8Array> {
  const { device } = fileStats(path);
  return withFile(path, device, async (handle) => {
    const page = Buffer.alloc(length);
    await answering(device, () => fillFrom(handle, page, Number(offset)));
    return page;
  });
}

function signature(stats: FileStats): Signature {
  return {
    key: `${stats.device}:${stats.inode}`,
    // The link count decides `deleted`; a change of it moves ctime too.
    times: `${stats.size}:${stats.modifiedNs}:${stats.changedNs}:${stats.links}`,
  };
}
