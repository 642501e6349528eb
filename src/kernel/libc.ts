import koffi from "koffi";
import { PimsError } from "../core/errors.ts";

/**
 * The one place that loads the C library. koffi's synchronous calls only: a call that could block belongs in a worker
 * and needs a bound of its own.
 */
const libc = koffi.load("libc.so.6");

export const ioctl: (fd: number, request: number, argument: unknown) => number = libc.func(
  "int ioctl(int fd, unsigned long request, void *argument)",
);
export const socket: (domain: number, type: number, protocol: number) => number = libc.func(
  "int socket(int domain, int type, int protocol)",
);
export const bind: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  "int bind(int fd, const void *address, uint32_t length)",
);
export const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
  "long send(int fd, const void *bytes, size_t length, int flags)",
);
export const recvfrom: (
  fd: number,
  bytes: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: Uint8Array,
) => number = libc.func(
  "long recvfrom(int fd, _Out_ void *bytes, size_t length, int flags, _Out_ void *address, _Inout_ void *addressLength)",
);
export const poll: (descriptors: Uint8Array, count: number, timeoutMs: number) => number = libc.func(
  "int poll(_Inout_ void *descriptors, unsigned long count, int timeoutMs)",
);
export const setsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: number) => number =
  libc.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)");
const SYS_OPENAT2 = 437;
const syscall: (number: number, root: number, path: Uint8Array, how: Uint8Array, size: number) => number = libc.func(
  "long syscall(long number, long root, const void *path, const void *how, size_t size)",
);
/** The C library has no name for it. */
export const openat2 = (root: number, path: Uint8Array, how: Uint8Array, size: number): number =>
  syscall(SYS_OPENAT2, root, path, how, size);
export const statx: (fd: number, path: string, flags: number, mask: number, buffer: unknown) => number = libc.func(
  "int statx(int fd, const char *path, int flags, unsigned int mask, void *buffer)",
);
export const setns: (fd: number, type: number) => number = libc.func("int setns(int fd, int type)");
export const fanotify_init: (flags: number, eventFlags: number) => number = libc.func(
  "int fanotify_init(unsigned int flags, unsigned int eventFlags)",
);
export const fanotify_mark: (fd: number, flags: number, mask: bigint, dirfd: number, path: string) => number =
  libc.func("int fanotify_mark(int fd, unsigned int flags, uint64_t mask, int dirfd, const char *path)");
const SYS_PIDFD_OPEN = 434;
const pidfdOpen: (number: number, pid: number, flags: number) => number = libc.func(
  "long syscall(long number, int pid, unsigned int flags)",
);
/** Older C libraries have no name for it. */
export const pidfd_open = (pid: number): number => pidfdOpen(SYS_PIDFD_OPEN, pid, 0);
export const prctl: (option: number, a: number, b: number, c: number, d: number) => number = libc.func(
  "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
);
export const memfd_create: (name: string, flags: number) => number = libc.func(
  "int memfd_create(const char *name, unsigned int flags)",
);
export const close: (fd: number) => number = libc.func("int close(int fd)");

/** errno(3) of the last call that failed. */
export function errno(): number {
  return koffi.errno();
}

/** Linux's numbers for the few errors that callers tell apart (asm-generic/errno.h). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EAGAIN: 11,
  ENOTDIR: 20,
  ENOTTY: 25,
  EINVAL: 22,
  ENOBUFS: 105,
} as const;

/** The first name of each: some have two. */
const ERROR_NAMES = new Map(
  Object.entries(koffi.os.errno)
    .reverse()
    .map(([name, number]) => [number, name]),
);

function errorName(number: number): string {
  return ERROR_NAMES.get(number) ?? `errno ${number}`;
}

/** The last call's error as node:fs would throw it: its `code` is the error's name. */
export function systemError(call: string, file: string | number): NodeJS.ErrnoException {
  const code = errorName(errno());
  return Object.assign(new Error(`${code}: ${call} '${file}'`), { code, syscall: call });
}

export function systemCallError(call: string, number = errno()): PimsError {
  const name = errorName(number);
  return new PimsError("system-call", `${call} failed with ${name}`);
}

/** Memory at a fixed address, for structures that the kernel reads and writes through a pointer. Never freed. */
export function fixedBuffer(bytes: number): { pointer: unknown; address: bigint; view: DataView } {
  const pointer: unknown = koffi.alloc("uint8_t", bytes);
  return { pointer, address: BigInt(koffi.address(pointer)), view: new DataView(koffi.view(pointer, bytes)) };
}
