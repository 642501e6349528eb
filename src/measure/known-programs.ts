import type { ContainerRef } from "../container/types.ts";
import { type JsonText, jsonTextBytes } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import { type FileStats, fileStats } from "../kernel/file-stats.ts";
import { isInterpreter } from "../process/interpreters.ts";
import type { FileDigests } from "./file-digest.ts";

const MAX_KNOWN = 65_536;

/**
 * Programs that were measured in their container when somebody executed them. What executes the same file there again says
 * nothing new: so a container that starts hundreds of programs a second costs little. Interpreters are never known:
 * each of their processes may run another script.
 */
export class KnownPrograms {
  readonly #digests: FileDigests;
  readonly #known = new Set<string>();

  constructor(digests: FileDigests) {
    this.#digests = digests;
  }

  /**
   * Remembers a program that was measured: `file` as it was before that, since what was written meanwhile is another
   * file, and `user` who executes it.
   */
  add(container: ContainerRef, file: FileStats, exe: JsonText, user: number): void {
    if (isInterpreter(nameOf(exe))) return;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.add(keyOf(container, file, user));
  }

  /** Whether a process that executes `file` executes what is known in its container, unchanged, and for the same user. */
  has(container: ContainerRef, file: FileStats, pid: number): boolean {
    try {
      return this.#known.has(keyOf(container, file, userOf(pid))) && this.#digests.isTrusted(file);
    } catch (error) {
      // Gone, or not to be looked at: whoever looks again says so.
      if (errorCode(error) === undefined) throw error;
      return false;
    }
  }
}

/** The effective user of a process: whoever its folder in /proc belongs to (proc(5)). */
export function userOf(pid: number): number {
  return fileStats(`/proc/${pid}`).user;
}

function keyOf({ runtime, id }: ContainerRef, file: FileStats, user: number): string {
  const { device, inode, size, modifiedNs, changedNs } = file;
  return `${runtime}:${id} ${device}:${inode} ${size} ${modifiedNs} ${changedNs} ${user}`;
}

function nameOf(exe: JsonText): string {
  const path = Buffer.from(jsonTextBytes(exe)).toString("latin1");
  return path.slice(path.lastIndexOf("/") + 1).replace(/ \(deleted\)$/, "");
}
