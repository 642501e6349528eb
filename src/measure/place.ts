import { PAGE_SIZE } from "../kernel/pagemap.ts";
import type { AddressSpace } from "../process/address-space.ts";
import type { Mapping } from "../process/mapping.ts";
import type { ElfSegment } from "./elf.ts";

/**
 * Where a file's bytes are executed: in an executable segment of it, outside of any, or in one that lies at another
 * address than the rest of the file does (its load bias).
 */
export type Place = "in-segment" | "outside-segment" | "displaced";

/**
 * The place of an executable file mapping; `segments` are the file's PT_LOAD headers, in the order of the file.
 * `overlong`: it starts with an executable segment and goes on beyond it, as loaders map a library for a moment before
 * they put its other segments in place. `gone` when the process executed or exited.
 */
export function placeOf(
  space: AddressSpace,
  mapping: Mapping,
  segments: readonly ElfSegment[],
): Place | "overlong" | "gone" {
  const offsetEnd = mapping.offset + (mapping.end - mapping.start);
  const segment = segments.find(
    ({ executable, offset, fileSize }) =>
      executable &&
      fileSize > 0n &&
      pageFloor(offset) <= mapping.offset &&
      mapping.offset < pageCeiling(offset + fileSize),
  );
  if (segment === undefined) return "outside-segment";
  if (offsetEnd > pageCeiling(segment.offset + segment.fileSize))
    return mapping.offset === pageFloor(segment.offset) ? "overlong" : "outside-segment";
  const first = segments[0]!;
  const bias = mapping.start - (mapping.offset - pageFloor(segment.offset)) - pageFloor(segment.vaddr);
  const address = bias + pageFloor(first.vaddr);
  if (address < 0n) return "displaced";
  const area = space.areaAt(address);
  if (area === "gone") return "gone";
  const inPlace =
    area !== null &&
    area.inode === mapping.inode &&
    area.device === mapping.device &&
    area.offset + (address - area.start) === pageFloor(first.offset);
  return inPlace ? "in-segment" : "displaced";
}

/** Linux maps segments by whole pages (ELF_PAGESTART, ELF_PAGEALIGN in fs/binfmt_elf.c). */
export function pageFloor(value: bigint): bigint {
  return value - (value % PAGE_SIZE);
}

export function pageCeiling(value: bigint): bigint {
  return pageFloor(value + PAGE_SIZE - 1n);
}
