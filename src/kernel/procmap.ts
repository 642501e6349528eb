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
const SIZE = BigInt(QUERY_BYTES);
const COVERING_OR_NEXT = 0x10n;
const WRITABLE = 0x02n;
const EXECUTABLE = 0x04n;
const SHARED = 0x08n;
const FILE_BACKED = 0x20n;
/** What a query looks for. */
const EXECUTABLE_AREA = COVERING_OR_NEXT | EXECUTABLE;
const SHARED_WRITABLE_FILE = COVERING_OR_NEXT | SHARED | WRITABLE | FILE_BACKED;
const AREA_AT = 0n;
const NAME_BYTES = 4096;
const NAME_SIZE = BigInt(NAME_BYTES);

const query = fixedBuffer(QUERY_BYTES);
/** The same memory as 64-bit words (all of Linux's 64-bit architectures that Node runs on are little-endian). */
const words = new BigUint64Array(query.view.buffer, query.view.byteOffset, QUERY_BYTES / 8);
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
  const answer = ask(mapsFd, address, withName, EXECUTABLE_AREA);
  if (answer === "none") return null;
  if (answer === "long-name") {
    const unnamed = nextExecutableArea(mapsFd, address, false);
    return typeof unnamed === "object" && unnamed !== null ? { ...unnamed, name: LONG_NAME } : unnamed;
  }
  if (answer !== "found") return answer;
  const nameSize = withName ? query.view.getUint32(80, true) : 0;
  return {
    start: words[3]!,
    end: words[4]!,
    flags: Number(words[5]),
    offset: words[7]!,
    inode: words[8]!,
    device: deviceName(),
    // The size includes the closing zero; zero means no name.
    name: withName
      ? toJsonText(new Uint8Array(nameBuffer.view.buffer, 0, Math.min(Math.max(nameSize - 1, 0), NAME_BYTES)))
      : undefined,
  };
}

/**
 * Whether the address space still exists; `unsupported` as above. Asks what lies at address 0: the kernel need not go
 * through the areas to answer.
 */
export function isAddressSpaceThere(mapsFd: number): boolean | "unsupported" {
  const answer = ask(mapsFd, 0n, false, AREA_AT);
  return answer === "unsupported" ? answer : answer !== "gone";
}

/** An executable area as it was when it was last looked at. */
export interface KnownArea {
  readonly start: bigint;
  readonly end: bigint;
  readonly writable: boolean;
  readonly shared: boolean;
  readonly offset: bigint;
  /** `major:minor` as the kernel prints it in `maps`, decimal. */
  readonly device: string;
  readonly inode: bigint;
}

/**
 * Whether the executable areas, all of them, are still these. Same answers as nextExecutableArea. Makes no object for an
 * area and asks for no name: this is what most sweeps do with most processes.
 */
export function areExecutableAreas(mapsFd: number, known: readonly KnownArea[]): boolean | "gone" | "unsupported" {
  let address = 0n;
  for (const area of known) {
    const answer = ask(mapsFd, address, false, EXECUTABLE_AREA);
    if (answer === "gone" || answer === "unsupported") return answer;
    const same =
      answer === "found" &&
      words[3] === area.start &&
      words[4] === area.end &&
      words[7] === area.offset &&
      words[8] === area.inode &&
      (words[5]! & (WRITABLE | SHARED)) === ((area.writable ? WRITABLE : 0n) | (area.shared ? SHARED : 0n)) &&
      deviceName() === area.device;
    if (!same) return false;
    address = area.end;
  }
  const answer = ask(mapsFd, address, false, EXECUTABLE_AREA);
  return answer === "gone" || answer === "unsupported" ? answer : answer === "none";
}

/** A file's place in an address space: what lies at `start` are its bytes from `offset`. */
export interface FileArea {
  readonly start: bigint;
  readonly end: bigint;
  readonly offset: bigint;
  /** `major:minor` and inode number; `0:0` and 0 for memory that no file holds. */
  readonly device: string;
  readonly inode: bigint;
}

/** The area that covers `address`, whatever its permissions; null where none does. */
export function areaAt(mapsFd: number, address: bigint): FileArea | null | "gone" | "unsupported" {
  return fileArea(mapsFd, address, AREA_AT);
}

/** The first area that covers or follows `address` and through which a file is written to. Null after the last one. */
export function nextSharedWritableFile(mapsFd: number, address: bigint): FileArea | null | "gone" | "unsupported" {
  return fileArea(mapsFd, address, SHARED_WRITABLE_FILE);
}

function fileArea(mapsFd: number, address: bigint, wanted: bigint): FileArea | null | "gone" | "unsupported" {
  const answer = ask(mapsFd, address, false, wanted);
  if (answer === "none") return null;
  if (answer === "gone" || answer === "unsupported") return answer;
  return { start: words[3]!, end: words[4]!, offset: words[7]!, device: deviceName(), inode: words[8]! };
}

/** One query; the answer is in `words`. */
function ask(
  mapsFd: number,
  address: bigint,
  withName: boolean,
  wanted: bigint,
): "found" | "none" | "gone" | "unsupported" | "long-name" {
  words[0] = SIZE;
  words[1] = wanted;
  words[2] = address;
  // Sizes of name and build id, and where they are to be written.
  words[10] = withName ? NAME_SIZE : 0n;
  words[11] = withName ? nameBuffer.address : 0n;
  words[12] = 0n;
  if (ioctl(mapsFd, PROCMAP_QUERY, query.pointer) >= 0) return "found";
  const error = errno();
  if (error === ENOENT) return "none";
  if (error === ENAMETOOLONG && withName) return "long-name";
  if (error === ERRNO.ESRCH) return "gone";
  if (error === ERRNO.ENOTTY || error === ERRNO.EINVAL) return "unsupported";
  throw systemCallError("PROCMAP_QUERY", error);
}

let lastDevice = 0n;
let lastDeviceName = "0:0";

/** Most areas that follow each other are of one file system: the text is made again only when it is another. */
function deviceName(): string {
  const device = words[9]!;
  if (device !== lastDevice) {
    lastDevice = device;
    lastDeviceName = `${query.view.getUint32(72, true)}:${query.view.getUint32(76, true)}`;
  }
  return lastDeviceName;
}
