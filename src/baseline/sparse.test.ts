import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { sha256Hex } from "../core/digest.ts";
import { errorCode } from "../core/errors.ts";
import { byteSource } from "./byte-source.ts";
import { sampleTar } from "./sample-tar.ts";
import { readTar } from "./tar.ts";

async function read(
  bytes: Uint8Array,
  piece = 70_000,
): Promise<{ name: string; size: number; holes: number; sha256: string }[]> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  const entries = [];
  for await (const { name, size, holes, content } of readTar(byteSource(pieces()))) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) chunks.push(Uint8Array.from(chunk));
    const whole = Buffer.concat(chunks);
    assert.equal(whole.length, size);
    entries.push({ name: Buffer.from(name).toString(), size, holes, sha256: sha256Hex(whole) });
  }
  return entries;
}

/** A file with data at these places, each of a block of the file system. */
function sparseFile(path: string, places: readonly number[], size: number): void {
  const fd = openSync(path, "w");
  for (const place of places) writeSync(fd, Buffer.alloc(4096, `${place}#`), 0, 4096, place);
  closeSync(fd);
  truncateSync(path, size);
}

const forms = [
  ["--format=gnu"],
  ["--format=pax", "--sparse-version=0.0"],
  ["--format=pax", "--sparse-version=0.1"],
  ["--format=pax", "--sparse-version=1.0"],
];

test("sparse files are read as GNU tar packs them, in each of its forms", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-sparse-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const many = Array.from({ length: 60 }, (_, at) => 8192 * at * 3);
  const long = `${"long".repeat(40)}.so`;
  sparseFile(join(folder, "start"), [0], 1_000_000);
  sparseFile(join(folder, "end"), [995_904], 1_000_000);
  sparseFile(join(folder, long), many, 2_000_001);
  sparseFile(join(folder, "nothing"), [], 3_000_000);
  const names = ["start", "end", long, "nothing"];
  for (const form of forms) {
    const tar = execFileSync("tar", ["--sparse", ...form, "-C", folder, "-c", ...names], { maxBuffer: 1e9 });
    assert.ok(tar.length < 500_000, "the file system keeps no holes");
    for (const piece of [511, 70_000]) {
      const entries = await read(tar, piece);
      assert.deepEqual(
        entries.map(({ name, sha256 }) => [name, sha256]),
        names.map((name) => [name, sha256Hex(readFileSync(join(folder, name)))]),
        `${form}`,
      );
      assert.ok(entries.every(({ holes }) => holes > 900_000));
    }
  }
});

const content = "x".repeat(512);
const map = (text: string): string => text.padEnd(512, "\0");
const refused: [string, Parameters<typeof sampleTar>[0][number]][] = [
  [
    "data past the end",
    {
      name: "a",
      content,
      pax: [
        ["GNU.sparse.map", "100,512"],
        ["GNU.sparse.size", "600"],
      ],
    },
  ],
  [
    "ranges that overlap",
    {
      name: "a",
      content,
      pax: [
        ["GNU.sparse.map", "0,300,200,212"],
        ["GNU.sparse.size", "600"],
      ],
    },
  ],
  [
    "ranges out of order",
    {
      name: "a",
      content,
      pax: [
        ["GNU.sparse.map", "300,256,0,256"],
        ["GNU.sparse.size", "600"],
      ],
    },
  ],
  [
    "more data than is stored",
    {
      name: "a",
      content,
      pax: [
        ["GNU.sparse.map", "0,513"],
        ["GNU.sparse.size", "600"],
      ],
    },
  ],
  [
    "less data than is stored",
    {
      name: "a",
      content,
      pax: [
        ["GNU.sparse.map", "0,511"],
        ["GNU.sparse.size", "600"],
      ],
    },
  ],
  ["an offset without a size", { name: "a", content, pax: [["GNU.sparse.map", "0,512,600"]] }],
  ["a map of other things", { name: "a", content, pax: [["GNU.sparse.map", "0,5.12e2"]] }],
  ["a size without an offset", { name: "a", content, pax: [["GNU.sparse.numbytes", "512"]] }],
  [
    "an unknown version",
    {
      name: "a",
      content,
      pax: [
        ["GNU.sparse.major", "2"],
        ["GNU.sparse.minor", "0"],
      ],
    },
  ],
  [
    "a map of endless length",
    {
      name: "a",
      content: map("99999999999999\n"),
      pax: [
        ["GNU.sparse.major", "1"],
        ["GNU.sparse.minor", "0"],
      ],
    },
  ],
  [
    "a map that never begins",
    {
      name: "a",
      content: "0".repeat(3_000_000),
      pax: [
        ["GNU.sparse.major", "1"],
        ["GNU.sparse.minor", "0"],
      ],
    },
  ],
  ["a sparse folder", { name: "a", type: "5", pax: [["GNU.sparse.map", "0,0"]] }],
];

test("a sparse file whose map is not that of its content is refused", async () => {
  for (const [name, entry] of refused)
    await assert.rejects(read(sampleTar([entry])), { code: "image-malformed" }, name);
  const good = {
    name: "a",
    content,
    pax: [
      ["GNU.sparse.map", "88,512"],
      ["GNU.sparse.size", "700"],
    ] as const,
  };
  assert.deepEqual(await read(sampleTar([good])), [
    { name: "a", size: 700, holes: 188, sha256: sha256Hex(`${"\0".repeat(88)}${content}${"\0".repeat(100)}`) },
  ]);
});

test("a map with changed bytes gives another reading or the one error", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-sparse-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  sparseFile(join(folder, "a"), [0, 40_000, 90_000], 200_000);
  const tars = forms.map((form) =>
    execFileSync("tar", ["--sparse", ...form, "-C", folder, "-c", "a"]).subarray(0, 20_480),
  );
  const digit = fc.constantFrom(...Buffer.from("0123456789,\n\0"));
  const change = fc.tuple(fc.nat(2047), fc.oneof(digit, fc.nat(255)));
  await fc.assert(
    fc.asyncProperty(fc.nat(3), fc.array(change, { minLength: 1, maxLength: 4 }), async (form, changes) => {
      const bytes = Buffer.from(tars[form]!);
      for (const [at, value] of changes) bytes[at] = value;
      // The checksum is right, so that more than it is tried.
      for (let at = 0; at < 2048; at += 512) fixChecksum(bytes.subarray(at, at + 512));
      await bounded(bytes).catch((error: unknown) => assert.equal(errorCode(error), "image-malformed"));
    }),
    { numRuns: 1000 },
  );
});

/** As `read`, but no more of each file than a megabyte: it may claim to be of any size. */
async function bounded(bytes: Uint8Array): Promise<void> {
  for await (const { content: chunks } of readTar(byteSource(Readable.from([bytes])))) {
    let length = 0;
    for await (const chunk of chunks) {
      length += chunk.length;
      if (length > 1_000_000) break;
    }
  }
}

function fixChecksum(block: Buffer): void {
  if (block.subarray(257, 262).toString("latin1") !== "ustar") return;
  block.fill(" ", 148, 156);
  block.write(
    `${block
      .reduce((total, byte) => total + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  );
}
