import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { printable } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import { errorCode } from "../core/errors.ts";
import { interpreterSegment, sampleElf } from "../measure/sample-elf.ts";
import { type BuildOptions, buildFromArchive, buildFromArchiveFile, buildFromFolder } from "./build.ts";
import type { Baseline } from "./lines.ts";
import { type SampleArchive, sampleArchive } from "./sample-archive.ts";
import { sampleTar } from "./sample-tar.ts";

const elf = (seed: number): Buffer => sampleElf({ seed });

async function build(archive: Buffer, options?: BuildOptions): Promise<Baseline> {
  return (await buildFromArchive(Readable.from([archive]), options)).baseline;
}

const oneLayer = sampleTar([
  { name: "bin/", type: "5" },
  { name: "bin/server", content: sampleElf({ type: 2 }), mode: 0o755 },
  { name: "lib/libx.so", content: elf(1) },
  { name: "start.sh", content: "#!/bin/sh\n", mode: 0o755 },
]);

test("an image is read in all the forms that engines save it in", async () => {
  const forms: [string, Partial<SampleArchive>][] = [
    ["docker", { form: "docker" }],
    ["oci", { form: "oci" }],
    ["oci, gzip", { form: "oci", pack: (layer) => gzipSync(layer) }],
    ["oci, zstd", { form: "oci", pack: (layer) => zstdCompressSync(layer) }],
    ["manifest first", { change: (entries) => entries.toReversed() }],
    [
      "with all that Docker adds",
      {
        change: (entries) => [
          { name: "0/", type: "5" },
          { name: "0/VERSION", content: "1.0" },
          { name: "0/json", content: "{}" },
          ...entries,
          { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
          { name: "repositories", content: "{}" },
        ],
      },
    ],
  ];
  for (const [form, options] of forms) {
    const { archive, identity } = sampleArchive({ layers: [oneLayer], ...options });
    const { header, entries } = await build(archive);
    assert.deepEqual(
      header,
      {
        identity,
        name: "sample/web:1",
        architecture: "amd64",
        ports: ["tcp/80"],
        entrypoint: ["/bin/server", "-v"],
        jit: [],
        entries: 3,
      },
      form,
    );
    assert.deepEqual(
      entries.map(({ path, kind }) => [path, kind]),
      [
        ["/bin/server", "executable"],
        ["/lib/libx.so", "library"],
        ["/start.sh", "script"],
      ],
      form,
    );
  }
});

test("a folder and an archive of it give the same entries", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-archive-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const root = join(folder, "root");
  for (const name of ["usr/bin", "usr/lib", `${"deep/".repeat(40)}x`]) mkdirSync(join(root, name), { recursive: true });
  execFileSync("cp", ["/bin/ls", "/bin/sh", join(root, "usr/bin")]);
  execFileSync("ln", [join(root, "usr/bin/ls"), join(root, "usr/lib/hard")]);
  symlinkSync("usr/bin", join(root, "bin"));
  writeFileSync(join(root, `${"deep/".repeat(40)}x/script`), "#!/bin/sh\n", { mode: 0o700 });
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.alloc(200, 0xff)]), elf(3));
  // patchelf puts program headers at the end of a file: too far away to be still in memory when they are needed.
  writeFileSync(join(root, "usr/lib/patched.so"), sampleElf({ size: 300_000, tableOffset: 299_000 }));
  writeFileSync(
    join(root, "usr/lib/large.so"),
    sampleElf({
      size: 3_000_000,
      segments: [{ flags: 5, offset: 60_000n, vaddr: 60_000n, fileSize: 2_500_000n }, interpreterSegment],
    }),
  );
  const expected = await buildFromFolder({ root, name: "a" });
  assert.equal(expected.entries.length, 7);
  const spool = join(folder, "spool");
  mkdirSync(spool);
  const before = process.env.TMPDIR;
  process.env.TMPDIR = spool;
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  });
  for (const format of ["gnu", "pax"]) {
    const tar = execFileSync("tar", [`--format=${format}`, "-C", root, "-c", "."], { maxBuffer: 1e9 });
    const { archive } = sampleArchive({ layers: [tar] });
    const file = join(folder, "image.tar");
    writeFileSync(file, archive);
    assert.deepEqual((await buildFromArchiveFile(file)).baseline.entries, expected.entries, format);
  }
  assert.deepEqual(readdirSync(spool), []);
});

type Entries = Parameters<typeof sampleTar>[0];

/** What is left of layers put over each other: the path of each file and the number that its content was made of. */
async function merged(...layers: Entries[]): Promise<string[]> {
  const { entries } = await build(sampleArchive({ layers: layers.map((layer) => sampleTar(layer)) }).archive);
  const seeds = new Map(Array.from({ length: 10 }, (_, seed) => [sha256Hex(elf(seed)), seed]));
  return entries.map(({ path, sha256 }) => `${printable(path)} ${seeds.get(sha256)}`);
}

const file = (name: string, seed: number): Entries[number] => ({ name, content: elf(seed) });
const link = (name: string, linkName: string): Entries[number] => ({ name, type: "2", linkName });
const hardLink = (name: string, linkName: string): Entries[number] => ({ name, type: "1", linkName });

test("a layer adds, replaces and hides what is below it", async () => {
  const lower = [file("a/x", 1), file("a/y", 2), file("b/c/z", 3), file("d", 4)];
  const cases: [string, Entries, string[]][] = [
    ["an empty layer", [], ["/a/x 1", "/a/y 2", "/b/c/z 3", "/d 4"]],
    ["a file replaced and one added", [file("a/x", 5), file("e", 6)], ["/a/x 5", "/a/y 2", "/b/c/z 3", "/d 4", "/e 6"]],
    ["whiteouts", [{ name: "a/.wh.x" }, { name: ".wh.b" }], ["/a/y 2", "/d 4"]],
    ["a whiteout of nothing", [{ name: "a/.wh.none" }], ["/a/x 1", "/a/y 2", "/b/c/z 3", "/d 4"]],
    ["a whiteout by a path with a slash", [{ name: "/a/.wh.x" }], ["/a/y 2", "/b/c/z 3", "/d 4"]],
    ["an opaque folder", [file("a/w", 5), { name: "a/.wh..wh..opq" }], ["/a/w 5", "/b/c/z 3", "/d 4"]],
    ["an opaque root", [{ name: ".wh..wh..opq" }, file("e", 5)], ["/e 5"]],
    [
      "a folder deleted and made again",
      [{ name: ".wh.b" }, file("b/new", 5)],
      ["/a/x 1", "/a/y 2", "/b/new 5", "/d 4"],
    ],
    ["the same, in another order", [file("b/new", 5), { name: ".wh.b" }], ["/a/x 1", "/a/y 2", "/b/new 5", "/d 4"]],
    ["a file beside its own whiteout", [file("a/x", 5), { name: "a/.wh.x" }], ["/a/x 5", "/a/y 2", "/b/c/z 3", "/d 4"]],
    ["a file in a folder's place", [file("a", 5)], ["/a 5", "/b/c/z 3", "/d 4"]],
    ["a folder in a file's place", [file("d/e", 5)], ["/a/x 1", "/a/y 2", "/b/c/z 3", "/d/e 5"]],
    ["a link in a file's place", [link("d", "a/x")], ["/a/x 1", "/a/y 2", "/b/c/z 3"]],
    ["a link in a folder's place", [link("a", "b")], ["/b/c/z 3", "/d 4"]],
    ["a device in a file's place", [{ name: "d", type: "3" }], ["/a/x 1", "/a/y 2", "/b/c/z 3"]],
    [
      "what aufs kept for itself",
      [file(".wh..wh.plnk/1", 5), { name: ".wh..wh.aufs" }],
      ["/a/x 1", "/a/y 2", "/b/c/z 3", "/d 4"],
    ],
  ];
  for (const [name, upper, expected] of cases) assert.deepEqual(await merged(lower, upper), expected, name);
});

test("links in a layer", async () => {
  const cases: [string, Entries[], string[]][] = [
    ["a hard link is its file", [[file("a", 1), hardLink("b/c", "a")]], ["/a 1", "/b/c 1"]],
    ["a hard link keeps what its name had", [[file("a", 1), hardLink("b", "./a"), file("a", 2)]], ["/a 2", "/b 1"]],
    [
      "a hard link is its file when that is hidden above",
      [[file("a", 1), hardLink("b", "/a")], [{ name: ".wh.a" }]],
      ["/b 1"],
    ],
    ["a symbolic link is no entry", [[file("a", 1), link("b", "a"), link("c", "/etc/passwd")]], ["/a 1"]],
    ["a name through a link of its layer", [[link("lib", "usr/lib"), file("lib/a", 1)]], ["/usr/lib/a 1"]],
    ["upwards, no further than the root", [[link("x/l", "../../../../y"), file("x/l/a", 1)]], ["/y/a 1"]],
    ["through an absolute link", [[link("x/l", "/y"), file("x/l/a", 1)]], ["/y/a 1"]],
    // Engines unpack a layer on its own, so its folder comes over a link below, as it does in an overlay.
    [
      "a name through a link below",
      [[link("lib", "usr/lib"), file("usr/lib/b", 2)], [file("lib/a", 1)]],
      ["/lib/a 1", "/usr/lib/b 2"],
    ],
  ];
  for (const [name, layers, expected] of cases) assert.deepEqual(await merged(...layers), expected, name);
});

test("a layer that is hostile is refused", async () => {
  const many = (count: number): string => "x/".repeat(count);
  const cases: [string, Entries, string][] = [
    ["a name upwards", [file("../x", 1)], "image-malformed"],
    ["a name upwards in the middle", [file("a/../../x", 1)], "image-malformed"],
    ["an absolute name upwards", [file("/../x", 1)], "image-malformed"],
    ["a hard link upwards", [hardLink("a", "../etc/passwd")], "image-malformed"],
    ["a hard link to the host", [hardLink("a", "/etc/passwd")], "image-malformed"],
    ["a hard link to a folder", [file("a/b", 1), hardLink("c", "a")], "image-malformed"],
    ["a whiteout of its own folder", [{ name: "a/.wh.." }], "image-malformed"],
    ["a whiteout upwards", [{ name: "a/.wh..." }], "image-malformed"],
    ["a whiteout of nothing at all", [{ name: "a/.wh." }], "image-malformed"],
    ["a file as root", [file("./", 1)], "image-malformed"],
    ["a name through a file", [file("a", 1), file("a/b", 1)], "image-malformed"],
    ["links in a circle", [link("a", "b"), link("b", "a"), file("a/x", 1)], "image-malformed"],
    ["a link to itself, further down", [link("a", "a/a"), file("a/x", 1)], "image-malformed"],
    ["a part of a name that is too long", [{ ...file("x".repeat(256), 1), long: "gnu" }], "image-malformed"],
    ["a name that is too long", [{ ...file(many(2048), 1), long: "gnu" }], "image-malformed"],
    ["folders that are too deep", [{ ...file(many(300), 1), long: "gnu" }], "image-too-large"],
  ];
  for (const [name, layer, code] of cases) {
    const { archive } = sampleArchive({ layers: [sampleTar(layer)] });
    await assert.rejects(build(archive), { name: "PimsError", code }, name);
  }
});

const other = sampleTar([file("evil", 6)]);
const flip =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    return changed;
  };
const refused: [string, Partial<SampleArchive>][] = [
  ["a layer with one bit changed", { pack: flip(3000) }],
  ["another layer", { pack: () => other }],
  ["something after a layer's end", { pack: (layer) => Buffer.concat([layer, Buffer.alloc(512)]) }],
  ["a compressed layer that ends early", { pack: (layer) => gzipSync(layer).subarray(0, -20) }],
  ["a compressed layer that is damaged", { pack: (layer) => flip(100)(gzipSync(layer)) }],
  ["a layer that is none", { pack: () => Buffer.alloc(5000, "x") }],
  ["a layer more than the configuration names", { config: { rootfs: { diff_ids: [] } } }],
  ["no architecture", { config: { architecture: undefined } }],
  [
    "an entry point of which another program reads more",
    { config: { config: { Entrypoint: ["a"], entryPoint: ["b"] } } },
  ],
  ["a configuration with two root file systems", { config: { RootFS: { diff_ids: [] } } }],
  ["an entry point that is no list", { config: { config: { Entrypoint: "sh" } } }],
  ["a port that is none", { config: { config: { ExposedPorts: { "80/tcp/x": {} } } } }],
  [
    "a configuration changed",
    {
      change: (entries) =>
        entries.map((entry) =>
          entry.name.toString().length === 69 ? { ...entry, content: `${entry.content} ` } : entry,
        ),
    },
  ],
  ["a member twice", { change: (entries) => [...entries, entries[0]!] }],
  ["no manifest", { change: (entries) => entries.slice(0, -1) }],
  ["a manifest that is no JSON", { change: (entries) => entries.with(-1, { name: "manifest.json", content: "[" }) }],
  [
    "a manifest of another shape",
    { change: (entries) => entries.with(-1, { name: "manifest.json", content: "[{}]" }) },
  ],
  ["a layer missing", { change: (entries) => entries.slice(1) }],
  [
    "a layer that is a link to itself",
    { change: (entries) => [link("0/layer.tar", "layer.tar"), ...entries.slice(1)] },
  ],
  [
    "a layer that is a link to the host",
    { change: (entries) => [link("0/layer.tar", "../../../etc/passwd"), ...entries.slice(1)] },
  ],
];

test("an image that is not what its digests say, or no image, is refused", async () => {
  for (const [name, options] of refused) {
    const { archive } = sampleArchive({ layers: [oneLayer], ...options });
    await assert.rejects(build(archive), { name: "PimsError", code: "image-malformed" }, name);
  }
});

test("a layer that several images have is one file and links to it", async () => {
  const { archive } = sampleArchive({
    layers: [oneLayer],
    change: ([layer, ...rest]) => [
      { ...layer!, name: "other/layer.tar" },
      link("0/layer.tar", "../other/layer.tar"),
      ...rest,
    ],
  });
  assert.equal((await build(archive)).entries.length, 3);
});

test("of several images the one that is meant is taken", async () => {
  const config = JSON.stringify({ architecture: "arm64", rootfs: { diff_ids: [`sha256:${sha256Hex(other)}`] } });
  const { archive, identity } = sampleArchive({
    layers: [oneLayer],
    tags: ["a:1"],
    change(entries) {
      const manifest = JSON.parse(`${entries.at(-1)!.content}`) as unknown[];
      manifest.push({ Config: "second.json", RepoTags: null, Layers: ["second.tar"] });
      return [
        ...entries.slice(0, -1),
        { name: "second.json", content: config },
        { name: "second.tar", content: other },
        { name: "manifest.json", content: JSON.stringify(manifest) },
      ];
    },
  });
  await assert.rejects(build(archive), { code: "image-ambiguous", hint: /a:1/ });
  await assert.rejects(build(archive, { image: "c:1" }), { code: "image-ambiguous" });
  assert.equal((await build(archive, { image: "a:1" })).header.identity, identity);
  const second = (await build(archive, { image: `sha256:${sha256Hex(config)}` })).header;
  assert.deepEqual([second.architecture, second.entries, second.name], ["arm64", 1, second.identity]);
});

test("truncated anywhere, an archive is refused", async () => {
  const { archive } = sampleArchive({ layers: [sampleTar([{ name: "a", content: "#!", mode: 0o755 }])] });
  const { root } = await build(archive);
  for (let length = 0; length < archive.length; length++) {
    const result = await build(archive.subarray(0, length)).catch((error: unknown) => errorCode(error));
    if (typeof result === "object")
      assert.ok(length >= archive.length - 1024 && Buffer.compare(result.root, root) === 0);
    else assert.equal(result, "image-malformed", `${length}`);
  }
});

test("changed bytes give the same baseline or an error that was foreseen", async () => {
  const { archive } = sampleArchive({ layers: [sampleTar([file("a", 1), hardLink("b", "a")])] });
  const { lines } = await build(archive);
  const changes = fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(changes, async (list) => {
      const bytes = Buffer.from(archive);
      for (const [at, value] of list) bytes[at] = value;
      try {
        // Tags are nobody's promise; they may change. What the image is may not.
        assert.deepEqual((await build(bytes, { name: "sample/web:1" })).lines, lines);
      } catch (error) {
        assert.match(String(errorCode(error)), /^image-/, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("limits hold for archives", async () => {
  const { archive } = sampleArchive({ layers: [oneLayer] });
  for (const limits of [{ files: 3 }, { totalBytes: oneLayer.length - 1 }, { fileBytes: 100 }, { depth: 1 }]) {
    await assert.rejects(build(archive, { limits }), { code: "image-too-large" }, JSON.stringify(limits));
  }
  await build(archive, { limits: { totalBytes: oneLayer.length, depth: 2 } });
  // Twelve kilobytes that would be twelve megabytes.
  const bomb = sampleArchive({ layers: [Buffer.alloc(12_000_000)], pack: (layer) => gzipSync(layer) }).archive;
  await assert.rejects(build(bomb, { limits: { totalBytes: 1_000_000 } }), { code: "image-too-large" });
});

test("links upon links cost no more than a bound", async () => {
  const chain = Array.from({ length: 200 }, (_, at) => link(`l${at}`, `${"./x/../".repeat(10)}l${at + 1}`));
  const long = [link("l200", "end"), ...chain.toReversed()];
  const names = Array.from({ length: 5000 }, (_, at) => ({ name: `l0/${at}` }));
  const before = process.cpuUsage();
  await assert.rejects(merged([...long, ...names]), { code: "image-malformed" });
  await merged([...long.slice(0, 40), ...names.map(({ name }) => ({ name: name.replace("l0", "l170") }))]);
  assert.ok(process.cpuUsage(before).user < 10e6);
});

test("a stream that fails is an error, and one that is not needed any more is ended", async () => {
  const failing = new Readable({
    read() {
      this.destroy(Object.assign(new Error("gone"), { code: "ECONNRESET" }));
    },
  });
  await assert.rejects(buildFromArchive(failing), { code: "image-unreadable", message: /ECONNRESET/ });
  const endless = new Readable({
    read() {
      this.push(Buffer.alloc(65_536, "x"));
    },
  });
  await assert.rejects(buildFromArchive(endless), { code: "image-malformed" });
  assert.equal(endless.destroyed, true);
  await assert.rejects(buildFromArchiveFile("/nowhere/image.tar"), {
    code: "image-unreadable",
    message: /does not exist/,
  });
  await assert.rejects(buildFromArchiveFile("/"), { code: "image-unreadable", message: /folder/ });
});
