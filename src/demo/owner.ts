import { readFileSync, readlinkSync } from "node:fs";
import { errorCode } from "../core/errors.ts";

/** The label that everything of the demo carries at its runtime. Its value is a mark of `ownerMark`. */
export const ownerLabel = "pims.demo.owner";

/** Names one `run` of this process: boot, pid namespace, pid, start time (clock ticks since boot), run. */
export function ownerMark(run: string): string {
  return [bootId(), pidNamespace(), process.pid, startTime(process.pid), run].join("_");
}

/**
 * True when the process that left `mark` is certainly gone, so that what it started may be removed. False for a mark
 * that says nothing and for a process of another pid namespace, which cannot be seen from here.
 */
export function isAbandoned(mark: string): boolean {
  const [boot, namespace, pid, start] = mark.trim().split("_");
  if (boot === undefined || namespace === undefined || pid === undefined || start === undefined) return false;
  if (!/^[0-9a-f-]{36}$/.test(boot) || !/^\d{1,10}$/.test(pid)) return false;
  if (boot !== bootId()) return true;
  return namespace === pidNamespace() && startTime(Number(pid)) !== start;
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function pidNamespace(): string {
  return readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
}

/** Field 22 of `/proc/PID/stat` (proc_pid_stat(5)), null for a process that is gone or only waits to be reaped. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything, also parentheses: count from the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return null;
    throw error;
  }
}
