import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { errorCode } from "../core/errors.ts";
import { type ElfFile, isElf, type ReadAt, readElf } from "./elf.ts";
import { interpreterSegment, type SampleElf, type SampleSegment, sampleElf } from "./sample-elf.ts";

function parse(file: Uint8Array): ElfFile {
  return readElf(reader(file), BigInt(file.length));
}

function reader(file: Uint8Array): ReadAt {
  return (offset, length) => {
    if (offset > BigInt(file.length)) return new Uint8Array(0);
    return file.subarray(Number(offset), Number(offset) + length);
  };
}

test("header and segments are read in both classes and both byte orders", () => {
  const segment = fc.record({ flags: fc.integer({ min: 0, max: 7 }), size: fc.integer({ min: 0, max: 64 }) });
  const options = fc.record({
    class: fc.constantFrom(32 as const, 64 as const),
    byteOrder: fc.constantFrom("little" as const, "big" as const),
    type: fc.constantFrom(1, 2, 3, 4),
    machine: fc.nat(0xffff),
    entry: fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
    interpreter: fc.boolean(),
    segments: fc.array(segment, { maxLength: 8 }),
  });
  fc.assert(
    fc.property(options, ({ interpreter, segments, ...header }) => {
      const loads = segments.map(({ flags, size }, index) => {
        const place = 0x400n + BigInt(index * 64);
        return { flags, offset: place, vaddr: place + 0x1000n, fileSize: BigInt(size), memSize: BigInt(size) };
      });
      const elf = parse(sampleElf({ ...header, segments: interpreter ? [interpreterSegment, ...loads] : loads }));
      assert.equal(elf.class, header.class);
      assert.equal(elf.byteOrder, header.byteOrder);
      assert.equal(elf.type, ["relocatable", "executable", "shared", "core"][header.type - 1]);
      assert.equal(elf.machine, header.machine);
      assert.equal(elf.entry, header.entry);
      assert.equal(elf.interpreter, interpreter);
      const expected = loads.map((load) => ({ ...load, executable: (load.flags & 1) === 1 }));
      assert.deepEqual(elf.loadSegments, expected);
      assert.deepEqual(
        elf.segments,
        expected.filter(({ executable, fileSize }) => executable && fileSize > 0n),
      );
    }),
  );
});

test("64-bit numbers are exact", () => {
  const vaddr = 0xffff_ffff_8000_0001n;
  const [segment] = parse(sampleElf({ entry: vaddr, segments: [{ flags: 5, vaddr, fileSize: 1n }] })).segments;
  assert.equal(segment?.vaddr, vaddr);
});

test("this machine's own programs are read as binutils reads them", (t) => {
  if (spawnSync("readelf", ["--version"]).error !== undefined) return t.skip("binutils is not installed");
  for (const path of [process.execPath, "/bin/ls", "/bin/sh"]) {
    const { stdout } = spawnSync("readelf", ["-lW", path], {
      encoding: "utf8",
      env: { PATH: process.env.PATH, LC_ALL: "C" },
    });
    const row = /^ +LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) (...) /gm;
    const expected = [...stdout.matchAll(row)].map(([, ...cells]) => [
      ...cells.slice(0, 4).map((cell) => BigInt(`0x${cell}`)),
      cells[4],
    ]);
    const elf = parse(readFileSync(path));
    const letters = (flags: number): string =>
      (flags & 4 ? "R" : " ") + (flags & 2 ? "W" : " ") + (flags & 1 ? "E" : " ");
    assert.ok(expected.length > 1, stdout);
    assert.deepEqual(
      elf.loadSegments.map(({ offset, vaddr, fileSize, memSize, flags }) => [
        offset,
        vaddr,
        fileSize,
        memSize,
        letters(flags),
      ]),
      expected,
    );
    assert.equal(elf.interpreter, stdout.includes("Requesting program interpreter"));
    assert.equal(elf.entry, BigInt(/Entry point (0x\w+)/.exec(stdout)![1]!));
  }
});

const code: SampleSegment = { flags: 5, offset: 0x400n, vaddr: 0x400n, fileSize: 0x200n };
const max = 0xffff_ffff_ffff_ffffn;
const hostile: [string, SampleElf][] = [
  ["a program header size of zero", { claims: { entrySize: 0, entries: 2 } }],
  ["program headers of the other class's size", { claims: { entrySize: 32 } }],
  ["more program headers than the kernel takes", { size: 200_000, claims: { entries: 1171 } }],
  ["as many program headers as there can be", { claims: { entries: 0xffff } }],
  ["program headers after the end", { claims: { offset: 0x7f0n } }],
  ["program headers at the end of all numbers", { claims: { offset: max } }],
  ["a segment after the end", { segments: [{ ...code, offset: 0x700n }] }],
  ["a segment whose end overflows", { segments: [{ ...code, offset: max }] }],
  ["a segment larger than everything", { segments: [{ ...code, offset: 0n, fileSize: max, memSize: max }] }],
  ["an address that overflows", { segments: [{ ...code, vaddr: max - 0x10n }] }],
  ["an address that overflows in 32 bits", { class: 32, segments: [{ ...code, vaddr: 0xffff_ff00n }] }],
  ["more in the file than in memory", { segments: [{ ...code, memSize: 0x1ffn }] }],
  ["segments that overlap in the file", { segments: [code, { ...code, offset: 0x5ffn, vaddr: 0x1000n }] }],
  ["segments that overlap in memory", { segments: [code, { ...code, flags: 6, offset: 0x600n, vaddr: 0x5ffn }] }],
  [
    "too many executable segments",
    {
      segments: Array.from({ length: 65 }, (_, at) => ({
        flags: 5,
        offset: BigInt(at),
        vaddr: BigInt(at),
        fileSize: 1n,
      })),
      size: 8192,
    },
  ],
];

test("a hostile header is an error, and costs no more than 64 KiB", () => {
  for (const [name, options] of hostile) {
    const file = sampleElf(options);
    let bytes = 0;
    const read: ReadAt = (offset, length) => {
      bytes += length;
      return reader(file)(offset, length);
    };
    assert.throws(() => readElf(read, BigInt(file.length)), { name: "PimsError", code: "elf-malformed" }, name);
    assert.ok(bytes <= 64 + 65_536, name);
  }
  // What is wrong in each is wrong alone.
  assert.equal(parse(sampleElf({ segments: [code, { ...code, offset: 0x600n, vaddr: 0x600n }] })).segments.length, 2);
});

test("what is no ELF file is none", () => {
  for (const text of ["", "\x7f", "\x7fEL", "#!/bin/sh", "\x7fELE"]) {
    const bytes = Buffer.from(text, "latin1");
    assert.equal(isElf(bytes), false);
    assert.throws(() => parse(bytes), { code: "elf-malformed" });
  }
  for (const [at, value] of [
    [4, 0],
    [4, 3],
    [5, 0],
    [5, 3],
  ] as const) {
    const file = sampleElf();
    file[at] = value;
    assert.equal(isElf(file), true);
    assert.throws(() => parse(file), { code: "elf-malformed" });
  }
});

test("truncated anywhere before its last segment's end, a file is refused", () => {
  for (const width of [32, 64] as const) {
    const file = sampleElf({ class: width });
    for (let length = 0; length < 0x700; length++) {
      assert.throws(() => parse(file.subarray(0, length)), { code: "elf-malformed" }, `${width} ${length}`);
    }
    assert.equal(parse(file.subarray(0, 0x700)).segments.length, 1);
  }
});

test("a file that ends while it is being read is refused", () => {
  const file = sampleElf();
  assert.throws(() => readElf(reader(file.subarray(0, 100)), BigInt(file.length)), { code: "elf-malformed" });
});

test("changed bytes give another reading or the one error", () => {
  const bytes = fc.array(fc.tuple(fc.nat(64 + 2 * 56), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(bytes, fc.constantFrom(32 as const, 64 as const), (changes, width) => {
      const file = sampleElf({ class: width });
      for (const [at, value] of changes) file[at] = value;
      try {
        for (const { offset, fileSize } of parse(file).segments) assert.ok(offset + fileSize <= BigInt(file.length));
      } catch (error) {
        assert.equal(errorCode(error), "elf-malformed");
      }
    }),
    { numRuns: 5000 },
  );
});
