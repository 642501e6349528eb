import { stat } from "node:fs/promises";
import type { JsonText } from "../core/bytes.ts";
import type { AddressSpace } from "../process/address-space.ts";
import { backingOf, type Mapping } from "../process/mapping.ts";
import type { CodeObject, ProcessRef } from "./facts.ts";
import { deviceText, type FileDigests, type HashBudget } from "./file-digest.ts";

/** `device:inode` of the program's own file, or null when it cannot be told (the process has just gone). */
export async function programFile(space: AddressSpace): Promise<string | null> {
  try {
    const stats = await stat(space.exeFile(), { bigint: true });
    return `${deviceText(stats.dev)}:${stats.ino}`;
  } catch {
    return null;
  }
}

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
): Promise<CodeObject> {
  if (mapping.backing === "anonymous" || mapping.backing === "kernel") {
    return {
      backing: mapping.backing,
      role: "library",
      path: mapping.name === "" ? "[anonymous]" : mapping.name,
      device: "0:0",
      inode: 0n,
      size: mapping.end - mapping.start,
      sha256: null,
      deleted: false,
    };
  }
  const file = await digests.measure(space.mapFile(mapping), budget);
  return {
    backing: mapping.backing,
    role: `${file.device}:${file.inode}` === program ? "executable" : "library",
    path: file.deleted ? withoutMark(mapping.name) : mapping.name,
    device: file.device,
    inode: file.inode,
    size: file.size,
    sha256: file.sha256,
    deleted: file.deleted,
  };
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
  return { backing, role: "executable", path, device, inode, size, sha256, deleted };
}

/** The kernel marks the name of a file that was deleted. */
function withoutMark(name: JsonText): JsonText {
  return typeof name === "string" ? name.replace(/ \(deleted\)$/, "") : name;
}
