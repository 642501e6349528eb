import { ERRNO, errno, fixedBuffer, statx, systemError } from "./libc.ts";

/** What the kernel knows of a file (statx(2)). Times are nanoseconds since 1970, `size` bytes. */
export interface FileStats {
  /** `major:minor` of the file system. */
  readonly device: string;
  readonly inode: bigint;
  readonly size: bigint;
  /** S_IFMT and permission bits. */
  readonly mode: number;
  readonly links: number;
  /** The owner's number. */
  readonly user: number;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
  /** Of a device file: `major:minor` of what it stands for. */
  readonly stands: string;
}

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_INO = 0x100;
const BUFFER_BYTES = 256;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const buffer = fixedBuffer(BUFFER_BYTES);
const { view } = buffer;

/**
 * The file that a path of /proc or a descriptor leads to, from what the kernel knows: a file system that does not answer
 * is not asked, so this cannot stall. Throws a system error with its `code`, as node:fs does.
 */
export function fileStats(file: string | number): FileStats {
  if (!ask(file)) throw systemError("statx", file);
  return readStats();
}

/** As fileStats, but null where there is no such file, or no such process: that is most often so, and an error is dear. */
export function fileStatsOrNull(file: string): FileStats | null {
  if (ask(file)) return readStats();
  if (errno() === ERRNO.ENOENT || errno() === ERRNO.ESRCH) return null;
  throw systemError("statx", file);
}

function ask(file: string | number): boolean {
  const [at, path, flags] = typeof file === "string" ? [AT_FDCWD, file, 0] : [file, "", AT_EMPTY_PATH];
  return statx(at, path, flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, buffer.pointer) === 0;
}

function readStats(): FileStats {
  return {
    device: `${view.getUint32(136, true)}:${view.getUint32(140, true)}`,
    inode: view.getBigUint64(32, true),
    size: view.getBigUint64(40, true),
    mode: view.getUint16(28, true),
    links: view.getUint32(16, true),
    user: view.getUint32(20, true),
    modifiedNs: time(112),
    changedNs: time(96),
    stands: `${view.getUint32(128, true)}:${view.getUint32(132, true)}`,
  };
}

export function isRegular({ mode }: FileStats): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

export function isFolder({ mode }: FileStats): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

export function isCharacterDevice({ mode }: FileStats): boolean {
  return (mode & S_IFMT) === S_IFCHR;
}

/** `device:inode` of the file that a descriptor holds; null when the kernel does not tell. */
export function fileIdentity(descriptor: number): string | null {
  const status = statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, buffer.pointer);
  if (status !== 0 || (view.getUint32(0, true) & STATX_INO) === 0) return null;
  return `${view.getUint32(136, true)}:${view.getUint32(140, true)}:${view.getBigUint64(32, true)}`;
}

/** struct statx_timestamp: seconds, nanoseconds. */
function time(at: number): bigint {
  return view.getBigInt64(at, true) * 1_000_000_000n + BigInt(view.getUint32(at + 8, true));
}

/** makedev(3) taken apart, as Linux packs it for user space. */
export function deviceText(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xffff_f000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}
