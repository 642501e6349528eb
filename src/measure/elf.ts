import { type ElfHeader, malformedElf as malformed, parseElfHeader } from "./elf-header.ts";

export { isElf } from "./elf-header.ts";

// Names and values of System V ABI, "Program Header"; sizes of a header by class.
const PT_LOAD = 1;
const PT_INTERP = 3;
const PF_X = 1;

/** The kernel's own bound for the whole table (load_elf_phdrs in fs/binfmt_elf.c). */
const MAX_TABLE_BYTES = 65_536;
const MAX_EXECUTABLE_SEGMENTS = 64;

/** A PT_LOAD program header. Checked: it lies inside the file and inside the address space. */
export interface ElfSegment {
  readonly offset: bigint;
  readonly vaddr: bigint;
  readonly fileSize: bigint;
  readonly memSize: bigint;
  /** p_flags as they are. */
  readonly flags: number;
  /** PF_X */
  readonly executable: boolean;
}

export interface ElfFile extends Pick<ElfHeader, "class" | "byteOrder" | "machine" | "type" | "entry"> {
  /** Whether it names a program interpreter (PT_INTERP): it is a dynamically linked program. */
  readonly interpreter: boolean;
  /** Every PT_LOAD, in the order of the file. */
  readonly loadSegments: readonly ElfSegment[];
  /** Those of them that are executable and have bytes in the file. Their ranges of the file do not overlap. */
  readonly segments: readonly ElfSegment[];
}

/** Reads from a file: as many bytes as asked for, or fewer where the file ends. */
export type ReadAt = (offset: bigint, length: number) => Uint8Array;

/**
 * Reads the header and the program headers of an ELF file, nothing else: neither section headers nor symbols. At most
 * 64 KiB are read, whatever the header says. Throws `elf-malformed` for anything that is no ELF file or that no loader
 * could map as it is described. `fileSize` is in bytes.
 */
export function readElf(read: ReadAt, fileSize: bigint): ElfFile {
  const header = parseElfHeader(read(0n, 64));
  const table = tableRange(header, fileSize);
  const bytes = table.size === 0 ? new Uint8Array(0) : read(table.offset, table.size);
  if (bytes.length < table.size) throw malformed("its program headers end early");
  const loadSegments: ElfSegment[] = [];
  let interpreter = false;
  for (let at = 0; at < table.size; at += header.tableEntrySize) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, header.tableEntrySize);
    const type = view.getUint32(0, header.byteOrder === "little");
    if (type === PT_INTERP) interpreter = true;
    if (type === PT_LOAD) loadSegments.push(parseSegment(view, header, fileSize));
  }
  const segments = loadSegments.filter(({ executable, fileSize: size }) => executable && size > 0n);
  if (segments.length > MAX_EXECUTABLE_SEGMENTS) throw malformed("it has too many executable segments");
  refuseOverlap(segments.map(({ offset, fileSize: size }) => [offset, offset + size]));
  refuseOverlap(loadSegments.map(({ vaddr, memSize }) => [vaddr, vaddr + memSize]));
  const { class: width, byteOrder, machine, type, entry } = header;
  return { class: width, byteOrder, machine, type, entry, interpreter, loadSegments, segments };
}

/** Where the program headers are in the file. Throws `elf-malformed`. */
export function tableRange(header: ElfHeader, fileSize: bigint): { offset: bigint; size: number } {
  const { tableOffset: offset, tableEntrySize, tableEntries } = header;
  if (tableEntries === 0) return { offset: 0n, size: 0 };
  const size = tableEntries * tableEntrySize;
  if (tableEntrySize !== (header.class === 64 ? 56 : 32)) throw malformed("its program headers have another size");
  if (size > MAX_TABLE_BYTES) throw malformed("it has too many program headers");
  if (offset + BigInt(size) > fileSize) throw malformed("its program headers lie outside the file");
  return { offset, size };
}

function parseSegment(view: DataView, header: ElfHeader, fileEnd: bigint): ElfSegment {
  const little = header.byteOrder === "little";
  const wide = header.class === 64;
  const word = (at: number): bigint => (wide ? view.getBigUint64(at, little) : BigInt(view.getUint32(at, little)));
  const flags = view.getUint32(wide ? 4 : 24, little);
  const offset = word(wide ? 8 : 4);
  const vaddr = word(wide ? 16 : 8);
  const fileSize = word(wide ? 32 : 16);
  const memSize = word(wide ? 40 : 20);
  if (fileSize > memSize) throw malformed("a segment is larger in the file than in memory");
  if (fileSize > 0n && offset + fileSize > fileEnd) throw malformed("a segment lies outside the file");
  if (vaddr + memSize > 1n << BigInt(header.class)) throw malformed("a segment lies outside the address space");
  return { offset, vaddr, fileSize, memSize, flags, executable: (flags & PF_X) !== 0 };
}

/** Two descriptions of the same bytes would make it a matter of opinion which one counts. */
function refuseOverlap(ranges: readonly (readonly [start: bigint, end: bigint])[]): void {
  let last = 0n;
  for (const [start, end] of ranges.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    if (start === end) continue;
    if (start < last) throw malformed("two of its segments overlap");
    last = end;
  }
}
