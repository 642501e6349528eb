import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { printable } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import { sampleElf } from "../measure/sample-elf.ts";
import { type BuildOptions, buildFromArchive, buildFromFolder } from "./build.ts";
import type { Baseline } from "./lines.ts";
import { sampleArchive } from "./sample-archive.ts";
import { type SampleEntry, sampleTar } from "./sample-tar.ts";

async function build(layers: readonly Buffer[], options?: BuildOptions): Promise<Baseline> {
  return (await buildFromArchive(Readable.from([sampleArchive({ layers }).archive]), options)).baseline;
}

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-hostile-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const many = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));

/** An archive of so many entries, each with its number in six digits for the #'s in its name, made fast. */
function numbered(count: number, entry: SampleEntry): Buffer {
  const one = sampleTar([entry]).subarray(0, -1024);
  const at = one.indexOf("######");
  const sum = Number.parseInt(one.subarray(148, 154).toString(), 8) - 6 * 0x23;
  const all = Buffer.alloc(count * one.length + 1024);
  for (let number = 0; number < count; number++) {
    const digits = Buffer.from(`${number}`.padStart(6, "0"));
    const start = number * one.length;
    one.copy(all, start);
    digits.copy(all, start + at);
    const total = digits.reduce((before, digit) => before + digit, sum);
    all.write(total.toString(8).padStart(6, "0"), start + 148);
  }
  return all;
}

test("a hundred thousand names are read in bounded time", async () => {
  const [count, fewer] = [100_000, 20_000];
  const first = sampleTar([{ name: "a", content: "#!" }]).subarray(0, -1024);
  const kinds: [string, Buffer, number][] = [
    ["scripts", numbered(count, { name: "s/######.sh" }), count],
    ["folders", numbered(fewer, { name: "x/######/", type: "5" }), 0],
    ["links", numbered(fewer, { name: "######", type: "2", linkName: "x" }), 0],
    ["hard links", Buffer.concat([first, numbered(fewer, { name: "######", type: "1", linkName: "a" })]), fewer + 1],
    ["devices", numbered(fewer, { name: "dev/######", type: "3" }), 0],
    ["whiteouts", numbered(fewer, { name: ".wh.######" }), 0],
  ];
  for (const [name, layer, expected] of kinds) {
    const before = process.cpuUsage();
    assert.equal((await build([layer])).entries.length, expected, name);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 30e6, `${name}: ${user + system} µs`);
  }
});

test("a layer that an image has again and again costs no more than its names may", async () => {
  const layer = sampleTar(many(1000, (at) => ({ name: `${at}` })));
  const { archive } = sampleArchive({ layers: Array<Buffer>(500).fill(layer), form: "oci" });
  const options = { limits: { files: 400_000 } };
  await assert.rejects(buildFromArchive(Readable.from([archive]), options), { code: "image-too-large" });
  await buildFromArchive(Readable.from([archive]));
});

test("what unpacks to more than the limit is refused before it is unpacked", async () => {
  const zeros = Buffer.alloc(30_000_000);
  const limits = { totalBytes: 1_000_000 };
  for (const pack of [gzipSync, zstdCompressSync]) {
    const layer = sampleArchive({ layers: [zeros], pack: (bytes) => pack(bytes) }).archive;
    await assert.rejects(buildFromArchive(Readable.from([layer]), { limits }), { code: "image-too-large" });
    const whole = pack(
      Buffer.concat([
        sampleArchive({ layers: [] }).archive.subarray(0, -1024),
        sampleTar([{ name: "x", content: zeros }]),
      ]),
    );
    await assert.rejects(buildFromArchive(Readable.from([whole]), { limits }), { code: "image-too-large" });
    // A bomb in a bomb.
    await assert.rejects(buildFromArchive(Readable.from([pack(layer)]), { limits }), { code: "image-too-large" });
  }
});

const hollow = (name: string, size: number, content = ""): SampleEntry => ({
  name,
  content,
  pax: [
    ["GNU.sparse.map", content === "" ? "0,0" : `0,${content.length}`],
    ["GNU.sparse.size", `${size}`],
  ],
});

test("holes of sparse files count as the bytes that they are", async () => {
  await assert.rejects(build([sampleTar([hollow("a.sh", 9 * 1024 ** 3)])]), { code: "image-too-large" });
  await assert.rejects(build([sampleTar(many(20, (at) => hollow(`${at}`, 4 * 1024 ** 3)))]), {
    code: "image-too-large",
  });
  const { entries } = await build([
    sampleTar([hollow("a.sh", 100_000, "#!x"), { name: "b.sh", content: `#!x${"\0".repeat(99_997)}` }]),
  ]);
  assert.deepEqual(entries[0]!.sha256, entries[1]!.sha256);
  assert.equal(entries[0]!.size, 100_000n);
});

test("layers with devices, pipes and absolute names come to what a folder would", async (t) => {
  const layer = sampleTar([
    { name: "/bin/../bin/", type: "5" },
    { name: "bin/run", content: "#!/bin/sh\n" },
  ]);
  await assert.rejects(build([layer]), { code: "image-malformed" });
  const { entries } = await build([
    sampleTar([
      { name: "/abs/run", content: "#!1" },
      { name: "./dot/run", content: "#!2" },
      { name: "dev/mem", type: "3", mode: 0o666 },
      { name: "dev/sda", type: "4" },
      { name: "fifo", type: "6" },
      { name: "etc/cron", type: "2", linkName: "/../../../../etc" },
      { name: "etc/cron/evil.sh", content: "#!3" },
    ]),
  ]);
  // The link is the layer's own, and its root is the layer's, as for an engine that unpacks it.
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["/abs/run", "/dot/run", "/etc/evil.sh"],
  );
  t.diagnostic("nothing was unpacked anywhere");
});

test("nothing is written but what is gone at the end, whatever names say", async (t) => {
  const folder = temporary(t);
  const before = [process.cwd(), process.env.TMPDIR] as const;
  mkdirSync(join(folder, "spool/inner"), { recursive: true });
  process.chdir(join(folder, "spool/inner"));
  process.env.TMPDIR = join(folder, "spool/inner");
  t.after(() => {
    process.chdir(before[0]);
    if (before[1] === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before[1];
  });
  // Program headers at the end of a file that passes by once: it is kept on disk until they have come.
  const far = sampleElf({ size: 300_000, tableOffset: 299_000 });
  const layers: SampleEntry[][] = [
    [{ name: "../out", content: far }],
    [{ name: "/../../out", content: far }],
    [
      { name: "a", type: "2", linkName: "../../.." },
      { name: "a/out", content: far },
    ],
    [{ name: `${folder}/out`, content: far }],
    [{ name: "a", type: "1", linkName: `${folder}/spool` }],
    [
      { name: "x", content: far },
      { name: "y", content: far.subarray(0, 299_100) },
    ],
  ];
  for (const layer of layers)
    await build([sampleTar(layer)]).catch((error: unknown) => assert.match(String(errorCode(error)), /^image-/));
  assert.deepEqual(readdirSync(folder, { recursive: true }).map(String).toSorted(), ["spool", "spool/inner"]);
});

test("a hollow program whose headers are at its end takes no room and no memory", async () => {
  const size = 300_000_000;
  const program = sampleElf({ size: 300_000, tableOffset: 299_000 });
  // The same file, with its table moved far behind a hole.
  const start = Buffer.from(program.subarray(0, 64));
  start.writeBigUInt64LE(BigInt(size - 1000), 32);
  const table = program.subarray(299_000);
  const moved: SampleEntry = {
    name: "far.so",
    content: Buffer.concat([start, table]),
    pax: [
      ["GNU.sparse.map", `0,64,${size - 1000},1000`],
      ["GNU.sparse.size", `${size}`],
    ],
  };
  const { entries } = await build([sampleTar([moved])]);
  assert.equal(entries[0]!.size, BigInt(size));
});

test("a program whose headers lie is the same entry from a layer and from a folder, and no crash", async (t) => {
  const root = join(temporary(t), "root");
  mkdirSync(root);
  const original = sampleElf({ type: 2 });
  const field = fc.constantFrom(
    [16, 2],
    [18, 2],
    [32, 8],
    [54, 2],
    [56, 2],
    [64, 4],
    [68, 4],
    [72, 8],
    [80, 8],
    [96, 8],
    [104, 8],
  );
  const value = fc.oneof(
    fc.constantFrom(0n, 1n, 0xffffn, 0x7fff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn),
    fc.bigInt(0n, 5000n),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(field, value), { minLength: 1, maxLength: 4 }),
      fc.nat(original.length),
      async (lies, cut) => {
        const elf = Buffer.from(original.subarray(0, cut % 5 === 0 ? cut : original.length));
        for (const [[at, size], lie] of lies as [[number, number], bigint][])
          for (let byte = 0; byte < size && at + byte < elf.length; byte++)
            elf[at + byte] = Number((lie >> BigInt(8 * byte)) & 0xffn);
        writeFileSync(join(root, "a"), elf);
        const folder = await buildFromFolder({ root, name: "a" });
        const layer = await build([sampleTar([{ name: "a", content: elf }])]);
        assert.deepEqual(layer.entries, folder.entries);
      },
    ),
    { numRuns: 300 },
  );
});

test("a folder with links everywhere is read once, and nothing outside of it", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const root = join(temporary(t), "root");
  mkdirSync(join(root, "a/b"), { recursive: true });
  for (const [name, target] of [
    ["loop", "."],
    ["up", "../../../.."],
    ["self", "self"],
    ["abs", "/usr"],
    ["a/b/back", "../.."],
  ] as const)
    symlinkSync(target, join(root, name));
  execFileSync("mknod", [join(root, "zero"), "c", "1", "5"]);
  execFileSync("mkfifo", [join(root, "pipe.sh")]);
  writeFileSync(join(root, "a/run"), "#!");
  const { entries } = await buildFromFolder({ root, name: "a" });
  assert.deepEqual(
    entries.map(({ path }) => printable(path)),
    ["/a/run"],
  );
});

const bytes = fc.uint8Array({ maxLength: 8 }).map((array) => Buffer.from(array));
const hostileName = fc.oneof(
  fc.constantFrom(
    "a",
    "a/b",
    "../x",
    "/",
    "",
    ".",
    "a//b/",
    "..",
    ".wh.",
    ".wh.a",
    "a/.wh..wh..opq",
    ".wh..wh.plnk/x",
    "\0",
  ),
  bytes,
);
const hostileEntry = fc.record(
  {
    name: hostileName,
    content: fc.oneof(bytes, fc.constantFrom(Buffer.from("#!x"), Buffer.from("\x7fELF\x02\x01"), sampleElf({}))),
    type: fc.constantFrom("0", "\0", "1", "2", "3", "4", "5", "6", "7", "x", "g", "L", "K", "S", "V", "D", "\xff"),
    linkName: fc.constantFrom("a", "a/b", "..", "/", "/etc/passwd", ""),
    claimedSize: fc.nat(2000),
    pax: fc.array(
      fc.tuple(
        fc.constantFrom(
          "path",
          "linkpath",
          "size",
          "GNU.sparse.map",
          "GNU.sparse.size",
          "GNU.sparse.major",
          "GNU.sparse.minor",
          "GNU.sparse.offset",
          "GNU.sparse.numbytes",
        ),
        fc.oneof(
          fc.constantFrom("0", "1", "1,2", "0,3", "../..", "", "9999999999999999", "-1"),
          fc.string({ maxLength: 5 }),
        ),
      ),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ["name"] },
);

test("layers of any entries are a baseline or one error that was foreseen", async () => {
  const limits = { totalBytes: 10_000_000, fileBytes: 1_000_000, files: 1000 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(hostileEntry, { maxLength: 6 }), { minLength: 1, maxLength: 3 }),
      async (layers) => {
        try {
          const { lines } = await build(
            layers.map((entries) => sampleTar(entries as SampleEntry[])),
            { limits },
          );
          assert.ok(lines.length > 0);
        } catch (error) {
          assert.match(String(errorCode(error)), /^image-/, String(error));
        }
      },
    ),
    { numRuns: 1500 },
  );
});
