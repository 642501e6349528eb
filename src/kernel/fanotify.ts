import { closeSync, writeSync } from "node:fs";
import { errorCode, PimsError } from "../core/errors.ts";
import { ERRNO, errno, fanotify_init, fanotify_mark, systemCallError } from "./libc.ts";

/** A program is about to be executed and waits for an answer (include/uapi/linux/fanotify.h, Linux 5.0). */
export const OPEN_EXEC_PERM = 0x4_0000n;
/** A file that was open for writing has been closed. */
export const CLOSE_WRITE = 0x8n;

const INIT = {
  CLOEXEC: 0x1,
  NONBLOCK: 0x2,
  CLASS_CONTENT: 0x4,
  UNLIMITED_QUEUE: 0x10,
  UNLIMITED_MARKS: 0x20,
  REPORT_PIDFD: 0x80,
};
const MARK = {
  ADD: 0x1,
  REMOVE: 0x2,
  MOUNT: 0x10,
  IGNORED_MASK: 0x20,
  FLUSH: 0x80,
  FILESYSTEM: 0x100,
  EVICTABLE: 0x200,
};
const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;
const ALLOW = 1;
const DENY = 2;

const METADATA_BYTES = 24;
const METADATA_VERSION = 3;
const INFO_TYPE_PIDFD = 4;

/** One event. Whoever reads it owns both descriptors. */
export interface FanotifyEvent {
  readonly mask: bigint;
  /** Open for reading, negative where there is none. */
  readonly fd: number;
  /** As this process's pid namespace numbers it; 0 when it has none there. */
  readonly pid: number;
  /** Negative when the process has already been reaped or the kernel gave none. */
  readonly pidfd: number;
}

/**
 * A group that is asked before programs are executed (fanotify_init(2)). Queue and marks are unlimited: a limited queue
 * lets through what does not fit. Needs CAP_SYS_ADMIN; PimsError `system-call` where the kernel refuses.
 */
export function openFanotify(): number {
  const flags = Object.values(INIT).reduce((all, flag) => all | flag);
  const fd = fanotify_init(flags, O_CLOEXEC);
  if (fd < 0) throw systemCallError("fanotify_init");
  return fd;
}

/**
 * Events in what read(2) gave. The kernel's own bytes: a length that leads nowhere is PimsError `fanotify-malformed`,
 * since then it is not known who waits.
 */
export function parseFanotifyEvents(bytes: Uint8Array): FanotifyEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: FanotifyEvent[] = [];
  for (let at = 0; at < view.byteLength; ) {
    if (at + METADATA_BYTES > view.byteLength) throw malformed();
    const length = view.getUint32(at, true);
    const headerLength = view.getUint16(at + 6, true);
    if (view.getUint8(at + 4) !== METADATA_VERSION || headerLength < METADATA_BYTES || length < headerLength)
      throw malformed();
    const end = at + length;
    if (end > view.byteLength) throw malformed();
    let pidfd = -1;
    for (let info = at + headerLength; info < end; ) {
      if (info + 4 > end) throw malformed();
      const infoLength = view.getUint16(info + 2, true);
      if (infoLength < 4 || info + infoLength > end) throw malformed();
      if (view.getUint8(info) === INFO_TYPE_PIDFD && infoLength >= 8) pidfd = view.getInt32(info + 4, true);
      info += infoLength;
    }
    const mask = view.getBigUint64(at + 8, true);
    events.push({ mask, fd: view.getInt32(at + 16, true), pid: view.getInt32(at + 20, true), pidfd });
    at = end;
  }
  return events;
}

/** Closes an event's descriptors. */
export function closeEvent({ fd, pidfd }: FanotifyEvent): void {
  for (const descriptor of [fd, pidfd])
    try {
      if (descriptor >= 0) closeSync(descriptor);
    } catch (error) {
      // It is closed all the same: a file system that is gone says so now (close(2)).
      if (errorCode(error) === undefined || errorCode(error) === "EBADF") throw error;
    }
}

/**
 * Lets a waiting program be executed, or not (it gets EPERM). `number` is the number that the event's descriptor has, or
 * had, in the process that read it. False when nobody waits under that number (any more).
 */
export function answerExec(group: number, number: number, allow: boolean): boolean {
  const response = Buffer.alloc(8);
  response.writeInt32LE(number, 0);
  response.writeUInt32LE(allow ? ALLOW : DENY, 4);
  try {
    writeSync(group, response);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/** What a mark is put on: every exec on a file system, or only what goes through one mount. */
export type MarkedWhole = "filesystem" | "mount";

/** Asks about execs on the file system or mount that `descriptor` (also of O_PATH) leads to. False when it has gone. */
export function markExecs(group: number, what: MarkedWhole, descriptor: number): boolean {
  return mark(group, MARK.ADD | kind(what), OPEN_EXEC_PERM, descriptor);
}

export function unmarkExecs(group: number, what: MarkedWhole, descriptor: number): boolean {
  return mark(group, MARK.REMOVE | kind(what), OPEN_EXEC_PERM, descriptor);
}

/**
 * Does not ask about a file any more, by whatever name, until it is written to with write(2) or the kernel needs the
 * memory. What is written through a shared mapping the kernel does not see; so it tells (CLOSE_WRITE) when somebody who
 * could have made such a mapping closes the file.
 */
export function ignoreFile(group: number, descriptor: number): boolean {
  return (
    mark(group, MARK.ADD | MARK.EVICTABLE, CLOSE_WRITE, descriptor) &&
    mark(group, MARK.ADD | MARK.EVICTABLE | MARK.IGNORED_MASK, OPEN_EXEC_PERM, descriptor)
  );
}

export function stopIgnoringFile(group: number, descriptor: number): void {
  mark(group, MARK.REMOVE | MARK.IGNORED_MASK, OPEN_EXEC_PERM, descriptor);
  mark(group, MARK.REMOVE, CLOSE_WRITE, descriptor);
}

/** Asks about every file again. Marks of file systems and mounts stay. */
export function stopIgnoring(group: number): void {
  if (fanotify_mark(group, MARK.FLUSH, 0n, AT_FDCWD, "/") < 0) throw systemCallError("fanotify_mark(FLUSH)");
}

/** Asks about nothing any more: all marks are gone, and who waits already goes on waiting. */
export function stopAsking(group: number): void {
  for (const which of [MARK.MOUNT, MARK.FILESYSTEM])
    if (fanotify_mark(group, MARK.FLUSH | which, 0n, AT_FDCWD, "/") < 0) throw systemCallError("fanotify_mark(FLUSH)");
}

function kind(what: MarkedWhole): number {
  return what === "filesystem" ? MARK.FILESYSTEM : MARK.MOUNT;
}

/** Through /proc, so that a descriptor of O_PATH will do and no path is looked up once more. */
function mark(group: number, flags: number, mask: bigint, descriptor: number): boolean {
  if (fanotify_mark(group, flags, mask, AT_FDCWD, `/proc/self/fd/${descriptor}`) >= 0) return true;
  const error = errno();
  if (error === ERRNO.ENOENT) return false;
  throw systemCallError("fanotify_mark", error);
}

function malformed(): PimsError {
  return new PimsError("fanotify-malformed", "the kernel's answer about programs to be executed has an unknown form");
}
