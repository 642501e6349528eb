import { ERRNO, errno, pidfd_open, poll, systemCallError } from "./libc.ts";

const POLLIN = 1;

/** A descriptor of a process that stays that process's when its number is given to another. Null when it has exited. */
export function openPidfd(pid: number): number | null {
  const fd = Number(pidfd_open(pid));
  if (fd >= 0) return fd;
  const error = errno();
  if (error === ERRNO.ESRCH) return null;
  throw systemCallError("pidfd_open", error);
}

/** Whether the process that a descriptor was opened for has not exited yet. */
export function isRunning(pidfd: number): boolean {
  const descriptors = Buffer.alloc(8);
  descriptors.writeInt32LE(pidfd, 0);
  descriptors.writeInt16LE(POLLIN, 4);
  return poll(descriptors, 1, 0) === 0;
}
