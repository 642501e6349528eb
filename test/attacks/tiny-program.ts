/** The smallest programs that the kernel starts by itself, with no loader: they wait for ever and do nothing else. */
export const TINY_PROGRAMS = ["static", "static-pie", "32bit"] as const;
export type TinyProgram = (typeof TINY_PROGRAMS)[number];

/** An endless loop of pause(2), or of ppoll(2) where there is no pause; the third for the 32-bit calls of x86. */
const LOOP: Readonly<Record<string, string>> = {
  x64: "b8220000000f05ebf7",
  arm64: "000080d2010080d2020080d2030080d2680980d2010000d4faffff17",
  ia32: "b81d000000cd80ebf7",
};
const MACHINE: Readonly<Record<string, number>> = { x64: 62, arm64: 183, ia32: 3 };
const BASE = 0x400000;

/**
 * An ELF file of one readable and executable segment, `size` bytes long (the code comes at its start). Throws where the
 * processor has no such program: 32-bit ones are made for x86 only.
 */
export function tinyProgram(kind: TinyProgram, size = 8192): Buffer {
  const machine = kind === "32bit" ? (process.arch === "x64" ? "ia32" : "") : process.arch;
  const loop = LOOP[machine];
  if (loop === undefined) throw new Error(`no ${kind} program for ${process.arch}`);
  const wide = kind !== "32bit";
  const base = kind === "static-pie" ? 0 : BASE;
  const [header, entrySize] = wide ? ([64, 56] as const) : ([52, 32] as const);
  const code = header + 2 * entrySize;
  const file = Buffer.alloc(size);
  file.write(`7f454c46${wide ? "02" : "01"}0101`, "hex");
  file.writeUInt16LE(kind === "static-pie" ? 3 : 2, 16);
  file.writeUInt16LE(MACHINE[machine]!, 18);
  file.writeUInt32LE(1, 20);
  for (const [index, value] of [base + code, header, 0].entries()) word(24 + index * (wide ? 8 : 4), value);
  for (const [index, value] of [header, entrySize, 2].entries())
    file.writeUInt16LE(value, (wide ? 52 : 40) + 2 * index);
  // PT_LOAD of the whole file, readable and executable; PT_GNU_STACK: without it the stack could be executable.
  segment(header, 1, 5, base, size, 4096);
  segment(header + entrySize, 0x6474e551, 6, 0, 0, 16);
  file.write(loop, code, "hex");
  return file;

  function segment(at: number, type: number, flags: number, address: number, length: number, align: number): void {
    file.writeUInt32LE(type, at);
    file.writeUInt32LE(flags, at + (wide ? 4 : 24));
    const values = [0, address, address, length, length];
    for (const [index, value] of values.entries()) word(at + (wide ? 8 + 8 * index : 4 + 4 * index), value);
    word(at + (wide ? 48 : 28), align);
  }
  function word(at: number, value: number): void {
    if (wide) file.writeBigUInt64LE(BigInt(value), at);
    else file.writeUInt32LE(value, at);
  }
}
