// For tests: ELF files made to measure.

export interface SampleSegment {
  /** p_type; PT_LOAD unless said otherwise. */
  readonly type?: number;
  readonly flags?: number;
  readonly offset?: bigint;
  readonly vaddr?: bigint;
  readonly fileSize?: bigint;
  readonly memSize?: bigint;
}

export interface SampleElf {
  readonly class?: 32 | 64;
  readonly byteOrder?: "little" | "big";
  readonly type?: number;
  readonly machine?: number;
  readonly entry?: bigint;
  readonly segments?: readonly SampleSegment[];
  /** Where the program headers are. */
  readonly tableOffset?: number;
  /** What the header says about them, where that is not the truth. */
  readonly claims?: { readonly offset?: bigint; readonly entrySize?: number; readonly entries?: number };
  /** Of the file. */
  readonly size?: number;
  /** Changes the content, so that two files differ. */
  readonly seed?: number;
}

/** A code segment and a data segment, as linkers make them, for x86-64 unless told otherwise. */
export function sampleElf(options: SampleElf = {}): Buffer {
  const wide = (options.class ?? 64) === 64;
  const little = (options.byteOrder ?? "little") === "little";
  const segments = options.segments ?? [
    { flags: 5, offset: 0x400n, vaddr: 0x400n, fileSize: 0x200n },
    { flags: 6, offset: 0x600n, vaddr: 0x1600n, fileSize: 0x100n, memSize: 0x300n },
  ];
  const tableOffset = options.tableOffset ?? (wide ? 64 : 52);
  const entrySize = wide ? 56 : 32;
  const size = options.size ?? Math.max(0x800, tableOffset + segments.length * entrySize);
  const file = Buffer.alloc(size);
  const seed = options.seed ?? 0;
  for (let at = 0; at < size; at++) file[at] = (at * 7 + (at >> 8) + seed) & 0xff;
  const half = (at: number, value: number): unknown =>
    little ? file.writeUInt16LE(value, at) : file.writeUInt16BE(value, at);
  const word32 = (at: number, value: number): unknown =>
    little ? file.writeUInt32LE(value, at) : file.writeUInt32BE(value, at);
  const word = (at: number, value: bigint): unknown => {
    if (!wide) return word32(at, Number(value));
    return little ? file.writeBigUInt64LE(value, at) : file.writeBigUInt64BE(value, at);
  };
  file.fill(0, 0, wide ? 64 : 52);
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, little ? 1 : 2, 1]);
  half(16, options.type ?? 3);
  half(18, options.machine ?? 62);
  word32(20, 1);
  word(24, options.entry ?? 0x400n);
  word(wide ? 32 : 28, options.claims?.offset ?? BigInt(tableOffset));
  half(wide ? 54 : 42, options.claims?.entrySize ?? entrySize);
  half(wide ? 56 : 44, options.claims?.entries ?? segments.length);
  for (const [index, segment] of segments.entries()) {
    const at = tableOffset + index * entrySize;
    word32(at, segment.type ?? 1);
    word32(at + (wide ? 4 : 24), segment.flags ?? 4);
    word(at + (wide ? 8 : 4), segment.offset ?? 0n);
    word(at + (wide ? 16 : 8), segment.vaddr ?? 0n);
    word(at + (wide ? 32 : 16), segment.fileSize ?? 0n);
    word(at + (wide ? 40 : 20), segment.memSize ?? segment.fileSize ?? 0n);
  }
  return file;
}

/** PT_INTERP: what makes a program of a shared object. */
export const interpreterSegment: SampleSegment = { type: 3, offset: 0x300n, fileSize: 0x10n };
