import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { errorCode } from "../../core/errors.ts";
import { openPidfd } from "../../kernel/pidfd.ts";
import { type Mount, parseMountinfo } from "../../process/mountinfo.ts";
import { parseStat } from "../../process/stat.ts";

/** Ticks a second of the kernel's interface for user space, on every architecture that Node runs on. */
const TICKS_A_SECOND = 100n;
const MAX_TABLE_BYTES = 1024 * 1024;
const O_PATH = 0o10000000;
const O_DIRECTORY = 0o200000;

/** The mount (`mnt`) or pid namespace of a process, as the kernel names it; null when it has exited. */
export function namespaceOf(pid: number, kind: "mnt" | "pid"): string | null {
  return orGone(() => readlinkSync(`/proc/${pid}/ns/${kind}`));
}

/** Processes by the mount namespace that they live in, lowest number first. */
export function processesByNamespace(): Map<string, number[]> {
  const found = new Map<string, number[]>();
  const pids = readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0)
    .sort((a, b) => a - b);
  for (const pid of pids) {
    const id = namespaceOf(pid, "mnt");
    if (id === null) continue;
    const known = found.get(id);
    if (known === undefined) found.set(id, [pid]);
    else known.push(pid);
  }
  return found;
}

/** Wall-clock time at which a process started, milliseconds since 1970; null when it has exited. */
export function startedAtMs(pid: number): number | null {
  return orGone(() => {
    const { startTime } = parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
    const upSeconds = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]);
    return Date.now() - upSeconds * 1000 + Number((startTime * 1000n) / TICKS_A_SECOND);
  });
}

/**
 * A process's table of mounts, held open together with the process, for `namespace` only: its number may have been given
 * to another meanwhile. Null when it is no longer there.
 */
export function openMountTable(pid: number, namespace: string): { table: number; pidfd: number } | null {
  return orGone(() => {
    const pidfd = openPidfd(pid);
    if (pidfd === null) return null;
    let table: number | null = null;
    try {
      table = openSync(`/proc/${pid}/mountinfo`, "r");
      if (namespaceOf(pid, "mnt") === namespace) return { table, pidfd };
    } catch (error) {
      closeSync(pidfd);
      if (table !== null) closeSync(table);
      throw error;
    }
    closeSync(table);
    closeSync(pidfd);
    return null;
  });
}

/** `whole` is false when there are more than are read. */
export function readMountTable(table: number): { mounts: Mount[]; whole: boolean } {
  const buffer = Buffer.alloc(MAX_TABLE_BYTES);
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(table, buffer, length, buffer.length - length, length);
    if (count === 0) break;
    length += count;
  }
  return { mounts: parseMountinfo(buffer.toString("latin1", 0, length)), whole: length < buffer.length };
}

/** The root folder of a process, of `namespace` only. Null when it is no longer there. */
export function openRoot(pid: number, namespace: string): number | null {
  return orGone(() => {
    const root = openSync(`/proc/${pid}/root`, O_PATH | O_DIRECTORY);
    if (namespaceOf(pid, "mnt") === namespace) return root;
    closeSync(root);
    return null;
  });
}

/** The mount that a descriptor is on (proc_pid_fdinfo(5)). */
export function mountIdOf(descriptor: number): number | null {
  const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "latin1"))?.[1];
  return id === undefined ? null : Number(id);
}

function orGone<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL"].includes(errorCode(error) ?? "")) return null;
    throw error;
  }
}
