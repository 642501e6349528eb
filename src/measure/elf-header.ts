import { PimsError } from "../core/errors.ts";

/** System V ABI, "ELF Header": e_type. Other values belong to systems and processors. */
const types: Readonly<Record<number, ElfType>> = { 1: "relocatable", 2: "executable", 3: "shared", 4: "core" };

export type ElfType = "relocatable" | "executable" | "shared" | "core" | "other";

/** The file header, as far as executing the file depends on it. Nothing of it is checked against the file yet. */
export interface ElfHeader {
  /** Bits of an address. */
  readonly class: 32 | 64;
  readonly byteOrder: "little" | "big";
  /** `shared` is a library, or a position-independent program. */
  readonly type: ElfType;
  /** e_machine: 62 is x86-64, 183 is AArch64. */
  readonly machine: number;
  /** Virtual address where execution starts, before any load bias. */
  readonly entry: bigint;
  readonly tableOffset: bigint;
  readonly tableEntrySize: number;
  readonly tableEntries: number;
}

/** Whether these first bytes of a file are an ELF file's. */
export function isElf(prefix: Uint8Array): boolean {
  return prefix[0] === 0x7f && prefix[1] === 0x45 && prefix[2] === 0x4c && prefix[3] === 0x46;
}

/** Reads the header at the start of `prefix`, 52 or 64 bytes. Throws `elf-malformed`. */
export function parseElfHeader(prefix: Uint8Array): ElfHeader {
  if (!isElf(prefix)) throw malformedElf("it does not start like one");
  const wide = prefix[4] === 2;
  if (!wide && prefix[4] !== 1) throw malformedElf("its class is neither 32 nor 64 bit");
  const little = prefix[5] === 1;
  if (!little && prefix[5] !== 2) throw malformedElf("its byte order is neither little nor big");
  if (prefix.length < (wide ? 64 : 52)) throw malformedElf("its header ends early");
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const half = (at: number): number => view.getUint16(at, little);
  const word = (at: number): bigint => (wide ? view.getBigUint64(at, little) : BigInt(view.getUint32(at, little)));
  return {
    class: wide ? 64 : 32,
    byteOrder: little ? "little" : "big",
    type: types[half(16)] ?? "other",
    machine: half(18),
    entry: word(24),
    tableOffset: word(wide ? 32 : 28),
    tableEntrySize: half(wide ? 54 : 42),
    tableEntries: half(wide ? 56 : 44),
  };
}

export function malformedElf(why: string): PimsError {
  return new PimsError("elf-malformed", `the file is not a valid ELF file: ${why}`);
}
