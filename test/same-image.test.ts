import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { sampleArchive } from "../src/baseline/sample-archive.ts";
import { packLayout, sampleConfig, sampleLayout, writeLayout } from "../src/baseline/sample-oci.ts";
import { type SampleEntry, sampleTar } from "../src/baseline/sample-tar.ts";
import { sampleElf } from "../src/measure/sample-elf.ts";
import { pims, temporaryFolder } from "./pims.ts";

const entries: SampleEntry[] = [
  { name: "bin/", type: "5", mode: 0o755 },
  { name: "bin/server", content: sampleElf({ type: 2 }), mode: 0o755 },
  { name: "lib/", type: "5", mode: 0o755 },
  { name: "lib/i.so", content: sampleElf({ seed: 1 }), mode: 0o644 },
  { name: "lib/I.so", content: sampleElf({ seed: 2 }), mode: 0o644 },
  { name: "lib/ı.so", content: sampleElf({ seed: 3 }), mode: 0o644 },
  { name: Buffer.from("lib/\xff.so", "latin1"), content: sampleElf({ seed: 4 }), mode: 0o644 },
  { name: "lib/same.so", type: "1", linkName: "lib/i.so" },
  { name: "start.sh", content: "#!/bin/sh\n", mode: 0o755 },
  { name: "start", type: "2", linkName: "start.sh" },
];
/** Hard links stay behind their files; all else in another order, and no folders said. */
const shuffled = [
  ...entries.filter(({ type }) => type === undefined).toReversed(),
  ...entries.filter(({ type }) => type === "2" || type === "1"),
];

const layer = sampleTar(entries);
const { archive } = sampleArchive({
  layers: [layer],
  config: JSON.parse(`${sampleConfig({ layers: [layer] })}`) as object,
});

/** The lines of a baseline built with other settings of the machine each time. */
function build(t: TestContext, source: readonly string[], env: NodeJS.ProcessEnv = {}): string[] {
  const output = join(temporaryFolder(t), "built");
  const args = ["baseline", "build", ...source, "--output", output];
  const { status, stderr } = pims(args, { env: { ...process.env, ...env } });
  assert.equal(status, 0, stderr);
  return readFileSync(output, "utf8").trimEnd().split("\n");
}

const machines: NodeJS.ProcessEnv[] = [
  {},
  { LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8", TZ: "Pacific/Kiritimati" },
  { LC_ALL: "C", TZ: "America/St_Johns", HOME: "/nowhere" },
];

test("one image gives the same bytes in every form that it comes in, whatever the machine", (t) => {
  const folder = temporaryFolder(t);
  const file = (name: string, bytes: Buffer): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const images = [
    { layers: [layer] },
    { layers: [layer], pack: (bytes: Buffer) => gzipSync(bytes) },
    { layers: [layer], pack: (bytes: Buffer) => zstdCompressSync(bytes) },
  ];
  const expected = build(t, ["--archive", file("docker.tar", archive)]);
  assert.equal(expected.length, 8);
  const sources = [
    ["--archive", file("docker.tar.gz", gzipSync(archive))],
    ...images.flatMap((image, at) => {
      const { files } = sampleLayout([image]);
      return [
        ["--oci", writeLayout(join(folder, `${at}`), files)],
        ["--archive", file(`${at}.tar`, packLayout(files))],
        ["--archive", file(`${at}.tar.zst`, zstdCompressSync(packLayout(new Map([...files].toReversed()))))],
      ];
    }),
  ];
  for (const [at, source] of sources.entries())
    assert.deepEqual(build(t, source, machines[at % machines.length]), expected, `${source}`);
});

test("another order in its layer makes another image with the same entries", (t) => {
  const folder = temporaryFolder(t);
  const path = (name: string, bytes: Buffer): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const [header, ...lines] = build(t, ["--archive", path("a.tar", archive)]);
  const other = sampleArchive({ layers: [sampleTar(shuffled)] });
  const [otherHeader, ...otherLines] = build(t, ["--archive", path("b.tar", other.archive)]);
  assert.deepEqual(otherLines, lines);
  // What its configuration says of the layer's digest is its identity.
  assert.notEqual(otherHeader, header);
  assert.equal(otherHeader!.replace(other.identity, ""), header!.replace(/sha256:[0-9a-f]{64}/, ""));
});

test("a folder has the same entries as the image, and the same bytes wherever and however it was unpacked", (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "image.tar"), archive);
  const [, ...lines] = build(t, ["--archive", join(folder, "image.tar")]);
  const made = ["0022", "0077"].map((umask, at) => {
    const root = join(folder, `root${at}`);
    mkdirSync(root);
    writeFileSync(join(folder, "layer.tar"), sampleTar(at === 0 ? entries : [entries[0]!, entries[2]!, ...shuffled]));
    // -p: modes are the image's and not this machine's.
    execFileSync("sh", ["-c", `umask ${umask}; tar -x -p -C "$1" -f "$2"`, "sh", root, join(folder, "layer.tar")]);
    return build(t, ["--rootfs", root, "--name", "web"], machines[at + 1]);
  });
  assert.deepEqual(made[0]!.slice(1), lines);
  assert.deepEqual(made[1], made[0]);
});
