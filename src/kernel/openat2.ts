import { ERRNO, errno, openat2 } from "./libc.ts";

// openat2(2), include/uapi/linux/openat2.h: struct open_how is flags, mode, resolve.
const O_PATH = 0o10000000n;
const O_CLOEXEC = 0o2000000n;
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_NO_SYMLINKS = 0x04n;
const RESOLVE_IN_ROOT = 0x10n;
const RESOLVE_CACHED = 0x20n;

const HOW_BYTES = 24;
const cached = holding(RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT | RESOLVE_CACHED);
const plain = holding(RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);

function holding(resolve: bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([O_PATH | O_CLOEXEC, 0n, resolve]).buffer);
}

/**
 * A descriptor (O_PATH) of what `path` leads to with the folder `root` as `/`, whatever links are on the way: null where
 * there is nothing. `path` holds no zero byte. Looks only at names that the kernel has at hand, so that no file system is
 * asked and can stall; `unknown` where that is not enough, or the kernel is older than Linux 5.12.
 */
export function openCachedInRoot(root: number, path: Uint8Array): number | null | "unknown" {
  const fd = openat2(root, Buffer.concat([path, Buffer.alloc(1)]), cached, HOW_BYTES);
  if (fd >= 0) return fd;
  const error = errno();
  return error === ERRNO.ENOENT || error === ERRNO.ENOTDIR ? null : "unknown";
}

/**
 * The same where there are no links on the way, and with every name: for ways through file systems that cannot stall.
 * Null where there is no such thing, or a link.
 */
export function openPlainInRoot(root: number, path: Uint8Array): number | null {
  const fd = openat2(root, Buffer.concat([path, Buffer.alloc(1)]), plain, HOW_BYTES);
  return fd < 0 ? null : fd;
}
