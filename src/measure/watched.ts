import { readFileSync, readlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { ContainerRef } from "../container/types.ts";
import { toJsonText } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import { LONG_NAME } from "../kernel/procmap.ts";
import { isGone } from "../process/address-space.ts";
import type { Mapping } from "../process/mapping.ts";
import { parseStat } from "../process/stat.ts";
import type { CodeObject, ProcessRef } from "./facts.ts";

export interface MeasuredMapping {
  readonly mapping: Mapping;
  readonly object: CodeObject;
}

/** What is kept of a process between two sweeps. */
export interface Watched {
  readonly process: ProcessRef;
  /** Its program's file, until it has been measured once: it can be hashed also when the process has gone meanwhile. */
  program: Promise<FileHandle | null> | null;
  /** As they were measured last; empty when they must be measured anew. */
  mappings: readonly Mapping[];
  measured: readonly MeasuredMapping[];
  /** Sweeps in a row in which a mapping went away while it was read. */
  vanished: number;
}

/** Notes a process, or null when it has gone or has no program (kernel threads). Opens its program without waiting for it. */
export function meetProcess(pid: number, container: ContainerRef | null): Watched | null {
  try {
    const { startTime, comm } = parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
    const process: ProcessRef = { pid, startTime, comm, exe: readExe(pid), container };
    return { process, program: openProgram(pid), mappings: [], measured: [], vanished: 0 };
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** Lets go of the program's file. */
export async function releaseProgram(watched: Watched): Promise<void> {
  const program = watched.program;
  watched.program = null;
  await (await program)?.close();
}

/** Not synchronous: a file system of a container's own may take any time to answer. */
async function openProgram(pid: number): Promise<FileHandle | null> {
  try {
    return await open(`/proc/${pid}/exe`, "r");
  } catch {
    // Gone, or not to be opened: then its mappings must tell.
    return null;
  }
}

function readExe(pid: number) {
  try {
    return toJsonText(readlinkSync(`/proc/${pid}/exe`, { encoding: "buffer" }));
  } catch (error) {
    if (errorCode(error) === "ENAMETOOLONG") return LONG_NAME;
    throw error;
  }
}
