import { type JsonText, toJsonText } from "../core/bytes.ts";
import { ERRNO, errno, fixedBuffer, ioctl, systemCallError } from "./libc.ts";

/** One virtual memory area as PROCMAP_QUERY (Linux 6.11, include/uapi/linux/fs.h) tells it. */
export interface ProcmapArea {
  readonly start: bigint;
  readonly end: bigint;
  /** PROCMAP_QUERY_VMA_READABLE 1, WRITABLE 2, EXECUTABLE 4, SHARED 8. */
  readonly flags: number;
  readonly offset: bigint;
  readonly inode: bigint;
  /** `major:minor` */
  readonly device: string;
  /** The kernel's name for it (a path, `[vdso]`, …), empty for plain anonymous memory. Undefined when not asked for. */
  readonly name: JsonText | undefined;
}

// _IOWR('f', 17, struct procmap_query), 104 bytes.
const PROCMAP_QUERY = 0xc068_6611;
const QUERY_BYTES = 104;
const COVERING_OR_NEXT = 0x10n;
const EXECUTABLE = 0x04n;
const NAME_BYTES = 4096;

const query = fixedBuffer(QUERY_BYTES);
const nameBuffer = fixedBuffer(NAME_BYTES);
const ENOENT = 2;
const ENAMETOOLONG = 36;

/** Stands for a path longer than PATH_MAX, which a container can make. */
export const LONG_NAME = "[path too long]";

/**
 * The first executable area that covers or follows `address`. Null after the last one. `gone` when the address space no
 * longer exists (its process has executed another program or exited); `unsupported` on kernels before 6.11.
 */
export function nextExecutableArea(
  mapsFd: number,
  address: bigint,
  withName: boolean,
): ProcmapArea | null | "gone" | "unsupported" {
  const { view } = query;
  view.setBigUint64(0, BigInt(QUERY_BYTES), true);
  view.setBigUint64(8, COVERING_OR_NEXT | EXECUTABLE, true);
  view.setBigUint64(16, address, true);
  view.setUint32(80, withName ? NAME_BYTES : 0, true);
  view.setUint32(84, 0, true);
  view.setBigUint64(88, withName ? nameBuffer.address : 0n, true);
  view.setBigUint64(96, 0n, true);
  if (ioctl(mapsFd, PROCMAP_QUERY, query.pointer) < 0) {
    const error = errno();
    if (error === ENOENT) return null;
    if (error === ENAMETOOLONG && withName) {
      const unnamed = nextExecutableArea(mapsFd, address, false);
      return typeof unnamed === "object" && unnamed !== null ? { ...unnamed, name: LONG_NAME } : unnamed;
    }
    if (error === ERRNO.ESRCH) return "gone";
    if (error === ERRNO.ENOTTY || error === ERRNO.EINVAL) return "unsupported";
    throw systemCallError("PROCMAP_QUERY", error);
  }
  const nameSize = withName ? view.getUint32(80, true) : 0;
  return {
    start: view.getBigUint64(24, true),
    end: view.getBigUint64(32, true),
    flags: Number(view.getBigUint64(40, true)),
    offset: view.getBigUint64(56, true),
    inode: view.getBigUint64(64, true),
    device: `${view.getUint32(72, true)}:${view.getUint32(76, true)}`,
    // The size includes the closing zero; zero means no name.
    name: withName
      ? toJsonText(new Uint8Array(nameBuffer.view.buffer, 0, Math.min(Math.max(nameSize - 1, 0), NAME_BYTES)))
      : undefined,
  };
}
