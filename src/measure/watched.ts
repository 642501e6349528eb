import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { ContainerRef } from "../container/types.ts";
import { type JsonText, toJsonText } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import { LONG_NAME } from "../kernel/procmap.ts";
import { isGone, type Method } from "../process/address-space.ts";
import type { Mapping } from "../process/mapping.ts";
import { parseStat } from "../process/stat.ts";
import type { CodeObject, ProcessRef } from "./facts.ts";
import type { MeasuredFile } from "./file-digest.ts";
import { StartReading } from "./process-start.ts";

export interface MeasuredMapping {
  readonly mapping: Mapping;
  readonly object: CodeObject;
  readonly file: MeasuredFile | null;
  /** `device:inode` as the kernel names the mapping's file, which an overlay names otherwise than stat(2) does. */
  readonly mappingKey: string;
}

/** What is kept of a process between two sweeps. */
export interface Watched {
  process: ProcessRef;
  /** A descriptor of its program's file, until it has been measured once: it can be hashed also when the process has gone meanwhile. */
  program: number | null;
  /** How it was started, until it has been told. Null for a process of the host's own. */
  start: StartReading | null;
  /** Another one after each execve. */
  stackStart: bigint;
  /** Its effective user when it executed its program; null where no event told of that. */
  executedBy: number | null;
  /** As they were measured last; empty when they must be measured anew. */
  mappings: readonly Mapping[];
  measured: readonly MeasuredMapping[];
  /** Files that were mapped beyond their code when the process was measured last, as `device:inode`. */
  overlong: ReadonlySet<string>;
  /** Sweeps in a row in which a mapping went away while it was read. */
  vanished: number;
}

/** How a process comes to be noted: by the event of its execve, just now, or otherwise. */
export type Met = "executing" | "running";

/** Notes a process, or null when it has gone or has no program (kernel threads). Its program's file is kept hold of. */
export function meetProcess(
  pid: number,
  container: ContainerRef | null,
  met: Met = "running",
  method: Method = "auto",
): Watched | null {
  try {
    const { process, stackStart } = describeProcess(pid, container);
    return {
      process,
      stackStart,
      start: readStart(process, met, method),
      program: holdProgram(pid),
      executedBy: null,
      mappings: [],
      measured: [],
      overlong: new Set(),
      vanished: 0,
    };
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** What a process says of itself now. Throws a system error when it is gone. */
export function describeProcess(
  pid: number,
  container: ContainerRef | null,
): { readonly process: ProcessRef; readonly stackStart: bigint } {
  const { startTime, comm, stackStart } = parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  return { process: { pid, startTime, comm, exe: readExe(pid), container }, stackStart };
}

/**
 * Looks again at a process whose mappings are others: it may run another program, of which no event told. One whose main
 * thread has exited while others go on says nothing of itself any more, and is what it was.
 */
export function meetAgain(watched: Watched, method: Method): void {
  const { pid, container } = watched.process;
  try {
    const { process, stackStart } = describeProcess(pid, container);
    watched.process = process;
    if (stackStart === 0n || stackStart === watched.stackStart) return;
    watched.stackStart = stackStart;
    watched.start?.release();
    watched.start = readStart(process, "running", method);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

function readStart(process: ProcessRef, met: Met, method: Method): StartReading | null {
  if (process.container === null) return null;
  return new StartReading(process, met === "executing" ? Date.now() : startedMs(process), method);
}

/** USER_HZ, 100 on every architecture that Node runs on. */
const TICK_MS = 10;

/** When a process began, to the tick, in milliseconds since 1970. */
function startedMs({ startTime }: ProcessRef): number {
  const upMs = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]) * 1000;
  return Date.now() - upMs + (Number(startTime) + 1) * TICK_MS;
}

/** Lets go of everything that is held of a process. */
export function releaseWatched(watched: Watched): void {
  releaseProgram(watched);
  watched.start?.release();
  watched.start = null;
}

/** Lets go of the program's file. */
export function releaseProgram(watched: Watched): void {
  if (watched.program !== null) closeSync(watched.program);
  watched.program = null;
}

/** open(2): holds on to the file and does not open it, so that no file system of a container's own is asked and can stall. */
const O_PATH = 0o10000000;

function holdProgram(pid: number): number | null {
  try {
    return openSync(`/proc/${pid}/exe`, O_PATH);
  } catch (error) {
    // Gone, or a kernel thread's: then its mappings must tell.
    if (isGone(error)) return null;
    throw error;
  }
}

function readExe(pid: number): JsonText {
  try {
    return exeOf(`/proc/${pid}`);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    // A main thread that has exited has none while the others go on.
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      try {
        return exeOf(`/proc/${pid}/task/${thread}`);
      } catch (later) {
        if (!isGone(later)) throw later;
      }
    }
    throw error;
  }
}

function exeOf(folder: string): JsonText {
  try {
    return toJsonText(readlinkSync(`${folder}/exe`, { encoding: "buffer" }));
  } catch (error) {
    if (errorCode(error) === "ENAMETOOLONG") return LONG_NAME;
    throw error;
  }
}
