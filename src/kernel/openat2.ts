import { ERRNO, errno, openat2 } from "./libc.ts";

// openat2(2), include/uapi/linux/openat2.h: struct open_how is flags, mode, resolve.
const O_PATH = 0o10000000n;
const O_CLOEXEC = 0o2000000n;
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_IN_ROOT = 0x10n;
const RESOLVE_CACHED = 0x20n;

const HOW_BYTES = 24;
const how = new Uint8Array(HOW_BYTES);
new BigUint64Array(how.buffer).set([O_PATH | O_CLOEXEC, 0n, RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT | RESOLVE_CACHED]);

/**
 * A descriptor (O_PATH) of what `path` leads to with the folder `root` as `/`, whatever links are on the way: null where
 * there is nothing. `path` holds no zero byte. Looks only at names that the kernel has at hand, so that no file system is
 * asked and can stall; `unknown` where that is not enough, or the kernel is older than Linux 5.12.
 */
export function openCachedInRoot(root: number, path: Uint8Array): number | null | "unknown" {
  const fd = openat2(root, Buffer.concat([path, Buffer.alloc(1)]), how, HOW_BYTES);
  if (fd >= 0) return fd;
  const error = errno();
  return error === ERRNO.ENOENT || error === ERRNO.ENOTDIR ? null : "unknown";
}
