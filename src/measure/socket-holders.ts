import { opendirSync } from "node:fs";
import { errorCode } from "../core/errors.ts";
import { readLink } from "../process/network.ts";

/** A descriptor that leads to a socket: `/proc/PID/fd/N`. */
export interface Holding<T> {
  readonly path: string;
  readonly process: T;
}

/** Descriptors that may still be looked at. */
export interface LookBudget {
  left: number;
}

const FD_BATCH = 256;

export function isHeld({ path }: { readonly path: string }, inode: string): boolean {
  return linkOf(path) === `socket:[${inode}]`;
}

/**
 * Looks for the sockets with these inodes in the descriptors of processes, and takes those that it finds out of `wanted`. A
 * process is whatever the caller calls one, with its folder in /proc.
 */
export function findHolders<T>(
  wanted: Set<string>,
  processes: Iterable<{ readonly process: T; readonly folder: string }>,
  budget: (process: T) => LookBudget,
): Map<string, Holding<T>> {
  const found = new Map<string, Holding<T>>();
  for (const { process, folder } of processes) {
    if (wanted.size === 0) break;
    const mine = budget(process);
    if (mine.left <= 0) continue;
    for (const path of descriptors(`${folder}/fd`)) {
      if (mine.left-- <= 0) break;
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(path) ?? "")?.[1];
      if (inode === undefined || !wanted.delete(inode)) continue;
      found.set(inode, { path, process });
      if (wanted.size === 0) break;
    }
  }
  return found;
}

/** Where a link in /proc leads; null when that cannot be told, or the process has gone. */
export function linkOf(path: string): string | null {
  try {
    return readLink(path);
  } catch (error) {
    // A file with too long a name, for one, which is no socket's.
    if (errorCode(error) === undefined) throw error;
    return null;
  }
}

/** Not all at once: a process may have a million of them. A process that has gone has none. */
function* descriptors(folder: string): Generator<string> {
  try {
    using directory = opendirSync(folder, { bufferSize: FD_BATCH });
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync())
      yield `${folder}/${entry.name}`;
  } catch (error) {
    // Whatever hinders it, the socket then has no holder that was found.
    if (errorCode(error) === undefined) throw error;
  }
}
