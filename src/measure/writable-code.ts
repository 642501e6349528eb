import type { FileArea } from "../kernel/procmap.ts";
import type { CodeObject, Fact, ProcessRef } from "./facts.ts";
import type { FileDigests } from "./file-digest.ts";
import type { Watched } from "./watched.ts";

/** Scrub cycles until a file's bytes are known again: the one that is under way, and a whole one after it. */
const CYCLES_TO_TRUST = 2;

/**
 * Files whose code can be changed without a trace: through a shared writable mapping neither times nor page tables tell
 * of a write. They are reported once for each container, and hashed in each sweep until the mapping has gone and
 * everything was read again.
 */
export class WritableCode {
  readonly #digests: FileDigests;
  /** Who has a file mapped so in this sweep, by `device:inode` of the mapping. */
  readonly #writers = new Map<string, ProcessRef>();
  /** Scrub cycle at which a file is trusted again, by `device:inode` of the file; null while it is mapped so. */
  readonly #distrusted = new Map<string, number | null>();
  #told = new Set<string>();

  constructor(digests: FileDigests) {
    this.#digests = digests;
  }

  /** Takes the areas of one process through which it writes to files. */
  note(process: ProcessRef, areas: readonly FileArea[]): void {
    for (const { device, inode } of areas) this.#writers.set(`${device}:${inode}`, process);
  }

  /** Whether a file is hashed in each sweep, so that nothing else needs to look after it. */
  isDistrusted(object: CodeObject): boolean {
    return this.#distrusted.has(keyOf(object));
  }

  /** Ends a sweep over these processes; `cycles` is the number of full scrubs so far. */
  endSweep(processes: Iterable<Watched>, cycles: number, facts: Fact[]): void {
    const mapped = new Set<string>();
    const told = new Set<string>();
    for (const { process, measured } of this.#writers.size === 0 ? [] : processes) {
      for (const { mappingKey, object } of measured) {
        const writer = this.#writers.get(mappingKey);
        // A memory file is executable memory by whatever way it is written to.
        if (writer === undefined || object.backing !== "file") continue;
        mapped.add(keyOf(object));
        const once = `${process.container?.id} ${keyOf(object)}`;
        if (!this.#told.has(once) && !told.has(once)) facts.push({ kind: "writable", process, object, writer });
        told.add(once);
      }
    }
    this.#told = told;
    this.#writers.clear();
    for (const key of mapped) this.#distrusted.set(key, null);
    for (const [key, until] of this.#distrusted) {
      if (mapped.has(key)) continue;
      if (until === null) this.#distrusted.set(key, cycles + CYCLES_TO_TRUST);
      else if (cycles >= until) this.#distrusted.delete(key);
    }
    this.#digests.distrust(new Set(this.#distrusted.keys()));
  }
}

function keyOf({ device, inode }: CodeObject): string {
  return `${device}:${inode}`;
}
