import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { sha256Stream } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";

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

/**
 * Digests of files, taken again only when device, inode, size, mtime or ctime changed. Counts what it hashed, so that
 * "a sweep without change hashes nothing" can be seen.
 */
export class FileDigests {
  readonly #cache = new Map<string, { times: string; file: MeasuredFile }>();
  hashedFiles = 0;
  hashedBytes = 0n;

  /**
   * The file that `path` leads to. Throws PimsError `coverage-incomplete` for what is no regular file, too large, changes
   * while it is read, or does not answer in time; system errors (ENOENT, …) as they are.
   */
  async measure(path: string): Promise<MeasuredFile> {
    const before = await withDeadline(stat(path, { bigint: true }), path);
    const cached = this.#cache.get(signature(before).key);
    if (cached?.times === signature(before).times) return cached.file;
    const file = await withDeadline(this.#hash(path), path);
    return file;
  }

  async #hash(path: string): Promise<MeasuredFile> {
    // O_NONBLOCK: opening a fifo must not wait for its writer.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const before = await handle.stat({ bigint: true });
      if (!before.isFile())
        throw new PimsError("coverage-incomplete", "executable code is mapped from no regular file");
      if (before.size > MAX_FILE_BYTES) throw new PimsError("coverage-incomplete", "an executable file is too large");
      const sha256 = await hashContent(handle, before.size, (bytes) => {
        this.hashedBytes += BigInt(bytes);
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
      };
      if (this.#cache.size >= MAX_CACHED_FILES) this.#cache.clear();
      this.#cache.set(key, { times, file });
      return file;
    } finally {
      await handle.close();
    }
  }
}

async function hashContent(handle: FileHandle, size: bigint, count: (bytes: number) => void): Promise<string> {
  const hash = sha256Stream();
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let position = 0;
  while (position < size) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) break;
    hash.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
    count(bytesRead);
  }
  return hash.hex();
}

/**
 * `length` bytes of a file at `offset`; what lies past its end is zeros, as the kernel maps it. Same errors as measure.
 */
export async function readFilePage(path: string, offset: bigint, length: number): Promise<Uint8Array> {
  return withDeadline(
    (async () => {
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      try {
        const page = Buffer.alloc(length);
        for (let at = 0; at < length; ) {
          const { bytesRead } = await handle.read(page, at, length - at, Number(offset) + at);
          if (bytesRead === 0) break;
          at += bytesRead;
        }
        return page;
      } finally {
        await handle.close();
      }
    })(),
    path,
  );
}

function signature(stats: {
  dev: bigint;
  ino: bigint;
  size: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
  nlink: bigint;
}): Signature {
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

async function withDeadline<T>(work: Promise<T>, what: string): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new PimsError("coverage-incomplete", `${what} did not answer within ${FILE_DEADLINE_MS / 1000} s`)),
    FILE_DEADLINE_MS,
  );
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
