/**
 * The smallest shared library that glibc also takes as an auditor (LD_AUDIT, rtld-audit(7)): one segment, one function,
 * `la_version`, which agrees to whatever version it is offered. It does nothing else. `size` bytes long, if it is given.
 */
export function tinyLibrary(size = 424): Uint8Array {
  const [machine, code] = CODE[process.arch] ?? fail();
  const strings = Buffer.from("\0la_version\0");
  const [headers, hash, symbols, names, text, dynamic, end] = [64, 232, 256, 304, 320, 328, 424] as const;
  const file = Buffer.alloc(size);
  file.write("7f454c46020101", "hex");
  u16(16, 3, machine);
  u32(20, 1);
  u64(32, headers);
  u16(52, 64, 56, 3, 64);
  // PT_LOAD, readable and executable, of the whole file; PT_DYNAMIC, only readable, so that it is left as it is.
  programHeader(headers, 1, 5, 0, size, 4096);
  programHeader(headers + 56, 2, 4, dynamic, end - dynamic, 8);
  // PT_GNU_STACK: without it the loader would make the stack executable.
  programHeader(headers + 112, 0x6474e551, 6, 0, 0, 16);
  // DT_HASH: one bucket, two symbols, the chain ends at once.
  u32(hash, 1, 2, 1, 0, 0);
  u32(symbols + 24, 1);
  // A global function of section 1: any that is not "undefined".
  file[symbols + 28] = 0x12;
  u16(symbols + 30, 1);
  u64(symbols + 32, text, code.length);
  strings.copy(file, names);
  code.copy(file, text);
  // DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_NULL
  u64(dynamic, 4, hash, 5, names, 6, symbols, 10, strings.length, 11, 24, 0, 0);
  return file;

  function programHeader(at: number, type: number, flags: number, offset: number, size: number, align: number): void {
    u32(at, type, flags);
    u64(at + 8, offset, offset, offset, size, size, align);
  }
  function u16(at: number, ...values: number[]): void {
    for (const [index, value] of values.entries()) file.writeUInt16LE(value, at + 2 * index);
  }
  function u32(at: number, ...values: number[]): void {
    for (const [index, value] of values.entries()) file.writeUInt32LE(value, at + 4 * index);
  }
  function u64(at: number, ...values: number[]): void {
    for (const [index, value] of values.entries()) file.writeBigUInt64LE(BigInt(value), at + 8 * index);
  }
}

/** e_machine, and a function that returns its first argument. */
const CODE: Partial<Record<NodeJS.Architecture, readonly [number, Buffer]>> = {
  x64: [62, Buffer.from("89f8c3", "hex")],
  arm64: [183, Buffer.from("c0035fd6", "hex")],
};

function fail(): never {
  throw new Error(`no library for ${process.arch}`);
}
