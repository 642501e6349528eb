import type { FileHandle } from "node:fs/promises";
import { errorCode } from "../core/errors.ts";
import { type ElfSegment, isElf, readElf, tableRange } from "./elf.ts";
import { parseElfHeader } from "./elf-header.ts";
import { fillFrom } from "./fill-from.ts";

const HEADER_BYTES = 64;

/** The PT_LOAD segments of an open file of `size` bytes; none where it is no ELF file, or no valid one. */
export async function readSegments(handle: FileHandle, size: bigint): Promise<readonly ElfSegment[]> {
  const header = await readAt(handle, 0, HEADER_BYTES);
  if (!isElf(header)) return [];
  try {
    const range = tableRange(parseElfHeader(header), size);
    const table = await readAt(handle, Number(range.offset), range.size);
    const ofHeader = (offset: bigint, length: number) => offset === 0n && length === HEADER_BYTES;
    return readElf((offset, length) => (ofHeader(offset, length) ? header : table), size).loadSegments;
  } catch (error) {
    if (errorCode(error) === "elf-malformed") return [];
    throw error;
  }
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, await fillFrom(handle, bytes, position));
}
