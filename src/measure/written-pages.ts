import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { sha256Hex } from "../core/digest.ts";
import { PAGE_SIZE, type PageList } from "../kernel/pagemap.ts";
import { type AddressSpace, isGone } from "../process/address-space.ts";
import { type Mapping, parseMaps } from "../process/mapping.ts";
import { differenceOf } from "./difference.ts";
import type { ModifiedPage } from "./facts.ts";
import { readFilePage } from "./file-digest.ts";

/** Written-to pages compared for one mapping in one sweep; the count says when there were more. */
export const MAX_PAGES_A_MAPPING = 256;

export interface WrittenPages {
  readonly pages: ModifiedPage[];
  /** Pages looked at; a page that was written to and holds the file's bytes again is looked at and not listed. */
  readonly compared: number;
  readonly more: boolean;
  /** The mapping was split, joined or taken away meanwhile, so that its other pages were not compared. */
  readonly vanished: boolean;
}

/**
 * Those of a mapping's written-to pages whose bytes in memory differ from those of its file, or, for the kernel's vdso,
 * from the kernel's own. `gone` when the process executed or exited meanwhile.
 */
export async function compareWrittenPages(
  space: AddressSpace,
  mapping: Mapping,
  written: PageList,
): Promise<WrittenPages | "gone"> {
  const pages: ModifiedPage[] = [];
  for (const address of written.pages) {
    const actual = space.readPage(address);
    if (actual === "gone") return "gone";
    const offset = address - mapping.start + (mapping.backing === "kernel" ? 0n : mapping.offset);
    const expected = await expectedPage(space, mapping, offset);
    if (expected === "vanished") {
      if (!space.isAlive()) return "gone";
      return { pages, compared: pages.length, more: written.more, vanished: true };
    }
    if (Buffer.compare(expected, actual) !== 0) pages.push(modifiedPage(offset, expected, actual));
  }
  return { pages, compared: written.pages.length, more: written.more, vanished: false };
}

export function modifiedPage(offset: bigint, expected: Uint8Array, actual: Uint8Array): ModifiedPage {
  return {
    offset,
    expected: sha256Hex(expected),
    actual: sha256Hex(actual),
    difference: differenceOf(expected, actual),
  };
}

async function expectedPage(space: AddressSpace, mapping: Mapping, offset: bigint): Promise<Uint8Array | "vanished"> {
  if (mapping.backing === "kernel") return ownVdso().subarray(Number(offset), Number(offset + PAGE_SIZE));
  try {
    return await readFilePage(space.mapFile(mapping), offset, Number(PAGE_SIZE));
  } catch (error) {
    // `map_files` has a name for each mapping as it is now.
    if (isGone(error)) return "vanished";
    throw error;
  }
}

let vdso: Uint8Array | undefined;

/** The kernel maps the same vdso text into every process of this architecture, so our own is the reference. */
function ownVdso(): Uint8Array {
  if (vdso !== undefined) return vdso;
  const mapping = parseMaps(readFileSync("/proc/self/maps")).find(({ name }) => name === "[vdso]");
  if (mapping === undefined) return new Uint8Array(0);
  const bytes = Buffer.alloc(Number(mapping.end - mapping.start));
  const fd = openSync("/proc/self/mem", "r");
  try {
    readSync(fd, bytes, 0, bytes.length, mapping.start);
  } finally {
    closeSync(fd);
  }
  vdso = bytes;
  return bytes;
}
