import { PimsError } from "../core/errors.ts";

/** What PIMS reads of `/proc/PID/stat` (proc_pid_stat(5)). */
export interface ProcessStat {
  readonly pid: number;
  /** As the process names itself: a label, never a proof. */
  readonly comm: string;
  readonly state: string;
  readonly parent: number;
  readonly threads: number;
  /** Clock ticks since boot. With the pid it names one process for the life of a boot. */
  readonly startTime: bigint;
  /** Address of the bottom of the stack: another one after each execve. 0 once the process has exited. */
  readonly stackStart: bigint;
}

/** Parses one line of `/proc/PID/stat`. `comm` may hold any byte, brackets and newlines too, so the last `)` counts. */
export function parseStat(text: string): ProcessStat {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  const fields = text
    .slice(close + 2)
    .trimEnd()
    .split(" ");
  const pid = Number(text.slice(0, open));
  const [state, parent, threads, startTime, stack] = [fields[0], fields[1], fields[17], fields[19], fields[25]];
  const numbers = [startTime, stack].every((field) => field !== undefined && /^\d+$/.test(field));
  if (open < 1 || close < open || !Number.isInteger(pid) || !state || !numbers)
    throw new PimsError("proc-malformed", "a line of /proc/PID/stat has an unknown shape");
  return {
    pid,
    comm: text.slice(open + 1, close),
    state,
    parent: Number(parent),
    threads: Number(threads),
    startTime: BigInt(startTime!),
    stackStart: BigInt(stack!),
  };
}
