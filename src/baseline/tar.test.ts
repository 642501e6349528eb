import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { pack } from "tar-stream";
import { errorCode } from "../core/errors.ts";
import { byteSource } from "./byte-source.ts";
import { parsePax } from "./pax.ts";
import { sampleTar } from "./sample-tar.ts";
import { readTar, type TarEntry } from "./tar.ts";

async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function collect(stream: AsyncIterable<unknown>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return chunks;
}

async function read(bytes: Uint8Array, length = 100_000): Promise<(Omit<TarEntry, "content"> & { text: string })[]> {
  const entries = [];
  for await (const { content, ...entry } of readTar(byteSource(inPieces(bytes, length)))) {
    const chunks = await collect(content);
    entries.push({ ...entry, text: Buffer.concat(chunks).toString("latin1") });
  }
  return entries;
}

const files = [
  { name: "a", text: "x" },
  { name: "empty", text: "" },
  { name: `${"long/".repeat(60)}name`, text: "y".repeat(511) },
  { name: "ünïcode", text: "z".repeat(512) },
  { name: `${"p".repeat(90)}/${"q".repeat(90)}`, text: "w".repeat(513) },
];

test("what tar-stream packs is read, however the bytes come in", async () => {
  const packed = pack();
  for (const { name, text } of files) packed.entry({ name, mode: 0o4755 }, text);
  packed.entry({ name: "folder", type: "directory" });
  packed.entry({ name: "soft", type: "symlink", linkname: "../somewhere/else" });
  packed.entry({ name: "hard", type: "link", linkname: "a" });
  packed.entry({ name: "pipe", type: "fifo" });
  packed.entry({ name: "null", type: "character-device", devmajor: 1, devminor: 3 });
  packed.finalize();
  const bytes = Buffer.concat(await collect(packed));
  for (const length of [1, 7, 511, 512, 513, 100_000]) {
    const entries = await read(bytes, length);
    assert.deepEqual(
      entries
        .slice(0, files.length)
        .map(({ name, text, mode, size }) => ({ name: Buffer.from(name).toString(), text, mode, size })),
      files.map((file) => ({ ...file, mode: 0o4755, size: Buffer.byteLength(file.text) })),
    );
    assert.deepEqual(
      entries
        .slice(files.length)
        .map(({ type, name, linkName }) => [type, `${Buffer.from(name)}`, `${Buffer.from(linkName)}`]),
      [
        ["directory", "folder", ""],
        ["link", "soft", "../somewhere/else"],
        ["hard-link", "hard", "a"],
        ["fifo", "pipe", ""],
        ["character-device", "null", ""],
      ],
    );
  }
});

test("what is not read of an entry is skipped", async () => {
  const bytes = sampleTar([{ name: "a", content: "x".repeat(5000) }, { name: "b" }]);
  const names = [];
  for await (const { name } of readTar(byteSource(inPieces(bytes, 300)))) names.push(Buffer.from(name).toString());
  assert.deepEqual(names, ["a", "b"]);
});

test("names keep their bytes, in every way that a long one is written", async () => {
  const name = Buffer.concat([Buffer.from("/"), Buffer.alloc(300, 0xff)]);
  for (const long of ["gnu", "pax"] as const) {
    const [entry] = await read(sampleTar([{ name, long }]));
    assert.deepEqual(Buffer.from(entry!.name), name);
  }
});

test("a size that a binary number or an extended header gives is the size", async () => {
  for (const sizeAs of ["binary", "pax"] as const) {
    const entries = await read(sampleTar([{ name: "a", content: "12345", sizeAs }, { name: "b" }]));
    assert.deepEqual(
      entries.map(({ text }) => text),
      ["12345", ""],
    );
  }
});

test("an entry of another type than a file has no content, whatever its size says", async () => {
  const entries = await read(
    sampleTar([
      { name: "a", type: "5", claimedSize: 1000 },
      { name: "b", content: "x" },
    ]),
  );
  assert.deepEqual(
    entries.map(({ type, size }) => [type, size]),
    [
      ["directory", 0],
      ["file", 1],
    ],
  );
});

/** A header block with other bytes at some places, and the checksum that belongs to them. */
function altered(block: Buffer, changes: Readonly<Record<number, string>>): Buffer {
  const header = Buffer.from(block);
  for (const [at, text] of Object.entries(changes)) header.write(text, Number(at), "latin1");
  header.fill(" ", 148, 156);
  const sum = header.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

test("what forms leave open is decided as Go's archive/tar decides it", async () => {
  const name = ({ name }: { name: Uint8Array }): string => Buffer.from(name).toString();
  // Version 7 knows a folder by its slash, and a folder has no content.
  const old = sampleTar([{ name: "folder/", type: "\0", claimedSize: 512 }, { name: "next" }]);
  const entries = await read(old);
  assert.deepEqual(
    entries.map((entry) => [name(entry), entry.type, entry.size]),
    [
      ["folder/", "directory", 0],
      ["next", "file", 0],
    ],
  );
  // A header for all that follow takes back what one for the next entry said.
  const global = sampleTar([
    { name: "x", type: "x", content: "13 path=long\n" },
    { name: "g", type: "g", content: "13 path=all\n\n".slice(0, 12).replace("13", "12") },
    { name: "short" },
  ]);
  assert.deepEqual((await read(global)).map(name), ["short"]);
  // star keeps times behind the first part of a name.
  const plain = sampleTar([{ name: "b" }]);
  assert.deepEqual((await read(altered(plain, { 345: "a", 476: "12345" }))).map(name), ["a/b"]);
  const full = "a".repeat(131);
  assert.deepEqual((await read(altered(plain, { 345: full, 476: "12345", 508: "tar\0" }))).map(name), [`${full}/b`]);
  // GNU's form has other things there.
  assert.deepEqual((await read(altered(plain, { 257: "ustar  \0", 345: "12345" }))).map(name), ["b"]);
});

const refused: [string, Buffer][] = [
  ["no archive", Buffer.alloc(1024, "x")],
  ["a sparse file of GNU's in an archive of another form", sampleTar([{ name: "a", type: "S" }])],
  ["a sparse file of half a version", sampleTar([{ name: "a", pax: [["GNU.sparse.major", "1"]] }])],
  ["an unknown type", sampleTar([{ name: "a", type: "V" }])],
  ["a size of all ones", sampleTar([{ name: "a", sizeField: Buffer.alloc(12, 0xff) }])],
  ["a size above 2^53", sampleTar([{ name: "a", sizeField: Buffer.from("800000ffffffffffffffffff", "hex") }])],
  ["a size in another notation", sampleTar([{ name: "a", sizeField: Buffer.from("0x1000000000") }])],
  ["more content than there is", sampleTar([{ name: "a", claimedSize: 100_000_000_000 }])],
  ["a long name of many megabytes", sampleTar([{ name: "a", type: "L", claimedSize: 50_000_000 }])],
  ["a zero byte in a name", sampleTar([{ name: "a", pax: [["path", "a\0b"]] }])],
  ["a negative size in an extended header", sampleTar([{ name: "a", pax: [["size", "-1"]] }])],
  ["an empty block between", Buffer.concat([Buffer.alloc(512), sampleTar([{ name: "a" }])])],
];

test("everything else is refused", async () => {
  for (const [name, bytes] of refused) {
    await assert.rejects(read(bytes), { name: "PimsError", code: "image-malformed" }, name);
  }
});

test("truncated anywhere but between entries, an archive is refused", async () => {
  const bytes = sampleTar([
    { name: "a", content: "x".repeat(600) },
    { name: "b".repeat(200), long: "pax" },
  ]);
  const whole = await read(bytes);
  const end = bytes.length - 1024;
  for (let length = 0; length < bytes.length; length++) {
    const entries = await read(bytes.subarray(0, length)).catch((error: unknown) => errorCode(error));
    if (entries === "image-malformed") continue;
    // Without the closing blocks it is still whole; after an entry it is a shorter one.
    assert.ok(length >= end || length % 512 === 0, `${length}`);
    assert.deepEqual(entries, whole.slice(0, (entries as unknown[]).length), `${length}`);
  }
});

test("changed bytes give another reading or the one error", async () => {
  const original = sampleTar([
    { name: "a", content: "xyz" },
    { name: "b".repeat(200), long: "pax" },
    { name: "c", long: "gnu" },
  ]);
  const changes = fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(changes, async (list) => {
      const bytes = Buffer.from(original);
      for (const [at, value] of list) bytes[at] = value;
      await read(bytes).catch((error: unknown) => assert.equal(errorCode(error), "image-malformed"));
    }),
    { numRuns: 1000 },
  );
});

test("an extended header is read in one pass, however it is filled", () => {
  for (const pattern of ["1\n", "5 a=\n", "1", " ", "9", "11 path=ab\n"]) {
    const bytes = Buffer.alloc(1024 * 1024 - ((1024 * 1024) % pattern.length), pattern);
    const before = process.cpuUsage();
    try {
      parsePax(bytes);
    } catch (error) {
      assert.equal(errorCode(error), "image-malformed");
    }
    assert.ok(process.cpuUsage(before).user < 2e6, JSON.stringify(pattern));
  }
  assert.deepEqual(parsePax(Buffer.from("11 path=ab\n8 path=\n")), {});
  assert.deepEqual(parsePax(Buffer.from("8 path=\n11 path=ab\n")), { path: Buffer.from("ab") });
});
