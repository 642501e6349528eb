import { closeSync, openSync } from "node:fs";
import type { JsonText } from "../core/bytes.ts";
import { fileIdentity, fileStats, isCharacterDevice } from "../kernel/file-stats.ts";
import type { AddressSpace } from "../process/address-space.ts";
import { backingOf, type Mapping } from "../process/mapping.ts";
import type { CodeObject, ProcessRef } from "./facts.ts";
import type { FileDigests, HashBudget, MeasuredFile } from "./file-digest.ts";
import { placeOf } from "./place.ts";

/** open(2): holds on to the file and does not open it. */
const O_PATH = 0o10000000;

/** `device:inode` of the program's own file, or null when it cannot be told (the process has just gone). */
export function programFile(space: AddressSpace): string | null {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(space.exeFile(), O_PATH);
    return fileIdentity(descriptor);
  } catch {
    return null;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** What is mapped, and the file's measurement where there is one. */
export interface MappedCode {
  readonly object: CodeObject;
  readonly file: MeasuredFile | null;
  /** Its place is that of a library which is just being loaded, or of one that is made to look so. */
  readonly overlong: boolean;
}

/** Private memory of this device is plain memory under a file's name (mem(4)). */
const DEV_ZERO = "1:5";

/**
 * What code a mapping holds, read through `map_files`, so that a file that was deleted or replaced is still the right
 * one. Throws PimsError `coverage-incomplete` or a system error when it cannot be read.
 */
export async function readCodeObject(
  space: AddressSpace,
  mapping: Mapping,
  program: string | null,
  digests: FileDigests,
  budget?: HashBudget,
): Promise<MappedCode | "gone"> {
  if (mapping.backing === "anonymous" || mapping.backing === "kernel") return memory(mapping, mapping.backing);
  if (mapping.name === "/dev/zero" && isDevZero(space.mapFile(mapping))) return memory(mapping, "anonymous");
  if (mapping.backing === "memfd") {
    const { device, inode, size, links } = fileStats(space.mapFile(mapping));
    // A compiler writes to it all the time: a digest would be of no content that it ever had.
    if (`${device}:${inode}` !== program) {
      const { object } = memory(mapping, "memfd");
      const path = withoutMark(mapping.name);
      return {
        object: { ...object, path, device, inode, size, deleted: links === 0 },
        file: null,
        overlong: false,
      };
    }
  }
  const file = await digests.measure(space.mapFile(mapping), budget);
  const place = file.segments.length === 0 ? null : placeOf(space, mapping, file.segments);
  if (place === "gone") return "gone";
  const object: CodeObject = {
    backing: mapping.backing,
    role: `${file.device}:${file.inode}` === program ? "executable" : "library",
    path: file.deleted ? withoutMark(mapping.name) : mapping.name,
    device: file.device,
    inode: file.inode,
    size: file.size,
    sha256: file.sha256,
    deleted: file.deleted,
    place: place === "overlong" ? "outside-segment" : place,
    offset: mapping.offset,
  };
  return { object, file, overlong: place === "overlong" };
}

function memory(mapping: Mapping, backing: "anonymous" | "kernel" | "memfd"): MappedCode {
  const object: CodeObject = {
    backing,
    role: "library",
    path: mapping.name === "" ? "[anonymous]" : mapping.name,
    device: "0:0",
    inode: 0n,
    size: mapping.end - mapping.start,
    sha256: null,
    deleted: false,
    place: null,
    offset: 0n,
  };
  return { object, file: null, overlong: false };
}

function isDevZero(path: string): boolean {
  const stats = fileStats(path);
  return isCharacterDevice(stats) && stats.stands === DEV_ZERO;
}

/** The program of a process that has gone, from its file that is held. Errors as readCodeObject. */
export async function readProgram(
  process: ProcessRef,
  descriptor: number,
  digests: FileDigests,
  budget: HashBudget,
): Promise<CodeObject & { sha256: string }> {
  const file = await digests.measure(`/proc/self/fd/${descriptor}`, budget);
  const { device, inode, size, sha256, deleted } = file;
  const backing = backingOf(process.exe, inode) === "memfd" ? "memfd" : "file";
  const path = deleted ? withoutMark(process.exe) : process.exe;
  // The kernel itself put it in its place.
  return {
    backing,
    role: "executable",
    path,
    device,
    inode,
    size,
    sha256,
    deleted,
    place: "in-segment",
    offset: 0n,
  };
}

/** The kernel marks the name of a file that was deleted. */
function withoutMark(name: JsonText): JsonText {
  return typeof name === "string" ? name.replace(/ \(deleted\)$/, "") : name;
}
