import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { inspect } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { sha256Hex } from "../core/digest.ts";
import { errorCode } from "../core/errors.ts";
import { sampleElf } from "../measure/sample-elf.ts";
import { type BuildOptions, type BuiltImage, buildFromArchive, buildFromOciLayout } from "./build.ts";
import { packLayout, type SampleImage, sampleLayout, writeLayout } from "./sample-oci.ts";
import { sampleTar } from "./sample-tar.ts";

const layers = [
  sampleTar([{ name: "bin/server", content: sampleElf({ type: 2 }), mode: 0o755 }]),
  sampleTar([{ name: "start.sh", content: "#!/bin/sh\n" }]),
];
const image: SampleImage = { layers };
const arm: SampleImage = {
  layers: [layers[0]!],
  architecture: "arm64",
  platform: { os: "linux", architecture: "arm64", variant: "v8" },
};

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-oci-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const fromTar = (files: ReadonlyMap<string, Buffer>, options?: BuildOptions): Promise<BuiltImage> =>
  buildFromArchive(Readable.from([packLayout(files)]), options);

let folders = 0;
/** A layout read as a folder and as an archive, which has to come to the same. */
async function both(t: TestContext, files: ReadonlyMap<string, Buffer>, options?: BuildOptions): Promise<BuiltImage> {
  const folder = writeLayout(join(temporary(t), `${folders++}`), files);
  const [a, b] = await Promise.allSettled([buildFromOciLayout(folder, options), fromTar(files, options)]);
  if (a.status === "rejected" && b.status === "rejected") {
    assert.equal(errorCode(a.reason), errorCode(b.reason), `${a.reason}\n${b.reason}`);
    throw a.reason;
  }
  assert.ok(a.status === "fulfilled" && b.status === "fulfilled", inspect([a, b]));
  assert.deepEqual(a.value, b.value);
  return a.value;
}

test("an OCI layout is read as folder and as archive, compressed by layer and as a whole", async (t) => {
  const expected = await both(t, sampleLayout([image]).files);
  assert.equal(expected.baseline.header.name, "sample/web:1");
  assert.equal(expected.baseline.header.identity, sampleLayout([image]).identities[0]);
  assert.deepEqual(
    expected.baseline.entries.map(({ path }) => path),
    ["/bin/server", "/start.sh"],
  );
  const packs: SampleImage["pack"][] = [(layer) => gzipSync(layer), (layer) => zstdCompressSync(layer)];
  for (const pack of packs) {
    const { files, manifests } = sampleLayout([{ layers, pack: pack! }]);
    const { baseline, aliases } = await both(t, files);
    assert.deepEqual(baseline, expected.baseline);
    assert.deepEqual(aliases, [manifests[0]!.digest]);
    const whole = [packLayout(files), gzipSync(packLayout(files)), zstdCompressSync(packLayout(files))];
    for (const archive of whole)
      assert.deepEqual((await buildFromArchive(Readable.from([archive]))).baseline, expected.baseline);
  }
});

test("index, manifest and configuration lead to the same identity, for one platform", async (t) => {
  const { files, manifests, identities, index } = sampleLayout([image, arm], { nested: true });
  for (const [platform, at] of [
    ["linux/amd64", 0],
    ["arm64", 1],
    ["linux/arm64/v8", 1],
  ] as const) {
    for (const digest of [index!, manifests[at]!.digest, identities[at]!, "sample/web:1", undefined]) {
      const { baseline, aliases } = await both(t, files, {
        platform: platform === "arm64" ? "linux/arm64" : platform,
        image: digest,
      });
      assert.equal(baseline.header.identity, identities[at], `${platform} ${digest}`);
      assert.deepEqual(aliases, [index!, manifests[at]!.digest].toSorted());
    }
  }
  // A digest that only one has says which one.
  assert.equal((await both(t, files, { image: manifests[1]!.digest })).baseline.header.architecture, "arm64");
  await assert.rejects(both(t, files), { code: "image-ambiguous", hint: /linux\/arm64/ });
  await assert.rejects(both(t, files, { platform: "linux/riscv64" }), { code: "image-ambiguous" });
  await assert.rejects(both(t, files, { image: `sha256:${"0".repeat(64)}` }), { code: "image-ambiguous" });
  // What an engine leaves out when it exports one platform.
  const part = new Map(files);
  part.delete(`blobs/sha256/${manifests[1]!.digest.slice(7)}`);
  const { baseline } = await both(t, part);
  assert.equal(baseline.header.identity, identities[0]);
});

test("a platform is the same one by its other names", async (t) => {
  const other: SampleImage = { layers: [layers[0]!], platform: { os: "Linux", architecture: "x86_64" } };
  const { files } = sampleLayout([image, other], { nested: true });
  await assert.rejects(both(t, files, { platform: "linux/amd64" }), { code: "image-ambiguous" });
  const { files: alone, identities } = sampleLayout([other, arm], { nested: true });
  const { baseline } = await both(t, alone, { platform: "linux/amd64" });
  assert.equal(baseline.header.identity, identities[0]);
});

test("what is no image is passed over, and one image under two manifests is one", async (t) => {
  const packed: SampleImage = { layers, pack: (layer) => gzipSync(layer) };
  const attestation: SampleImage = {
    layers: [Buffer.from("{}")],
    platform: { os: "unknown", architecture: "unknown" },
  };
  const { files, manifests } = sampleLayout([image, packed, attestation], { nested: true });
  const { aliases } = await both(t, files);
  assert.equal(aliases.length, 3);
  assert.ok([manifests[0]!.digest, manifests[1]!.digest].every((digest) => aliases.includes(digest)));
});

type Change = (files: Map<string, Buffer>, image: ReturnType<typeof sampleLayout>) => void;
const blob = (digest: string): string => `blobs/sha256/${digest.slice(7)}`;
const layerPath = (at: number): string => `blobs/sha256/${sha256Hex(layers[at]!)}`;
const edit = (files: Map<string, Buffer>, path: string, change: (text: string) => string): void => {
  files.set(path, Buffer.from(change(files.get(path)!.toString())));
};

const refused: [string, Change, string][] = [
  [
    "a configuration of another digest",
    (files, { identities }) => edit(files, blob(identities[0]!), (text) => text.replace("-v", "-x")),
    "image-malformed",
  ],
  [
    "a configuration of another size",
    (files, { identities }) => edit(files, blob(identities[0]!), (text) => `${text} `),
    "image-malformed",
  ],
  ["no configuration", (files, { identities }) => files.delete(blob(identities[0]!)), "image-malformed"],
  [
    "a manifest of another digest",
    (files, { manifests }) => edit(files, blob(manifests[0]!.digest), (text) => text.replace(":2,", ":3,")),
    "image-malformed",
  ],
  [
    "a manifest of another size than its descriptor says",
    (files, { manifests }) =>
      edit(files, "index.json", (text) =>
        text.replace(`"size":${manifests[0]!.size}`, `"size":${manifests[0]!.size + 1}`),
      ),
    "image-malformed",
  ],
  ["a layer with one byte changed", (files) => files.get(layerPath(0))!.writeUInt8(7, 900), "image-malformed"],
  [
    "a layer that ends early",
    (files) => files.set(layerPath(0), files.get(layerPath(0))!.subarray(0, -512)),
    "image-malformed",
  ],
  [
    "a layer with something behind it",
    (files) => files.set(layerPath(0), Buffer.concat([files.get(layerPath(0))!, Buffer.alloc(512)])),
    "image-malformed",
  ],
  ["no layer", (files) => files.delete(layerPath(1)), "image-malformed"],
  ["no manifest at all", (files, { manifests }) => files.delete(blob(manifests[0]!.digest)), "image-ambiguous"],
  [
    "a digest that leads out of the layout",
    (files) =>
      edit(files, "index.json", (text) => text.replace(/sha256:[0-9a-f]{64}/, `sha256:../../${"a".repeat(58)}`)),
    "image-malformed",
  ],
  [
    "a digest of another algorithm",
    (files) => edit(files, "index.json", (text) => text.replace("sha256:", "sha512:")),
    "image-malformed",
  ],
  [
    "a size below nothing",
    (files) => edit(files, "index.json", (text) => text.replace('"size":', '"size":-')),
    "image-malformed",
  ],
  [
    "a digest twice",
    (files) => edit(files, "index.json", (text) => text.replace('"digest":', '"digest":"sha256:0","digest":')),
    "image-malformed",
  ],
  [
    "manifests that another program finds elsewhere",
    (files) => edit(files, "index.json", (text) => text.replace('"manifests":', '"Manifests":[],"manifests":')),
    "image-malformed",
  ],
  ["an index that is no JSON", (files) => edit(files, "index.json", (text) => text.slice(1)), "image-malformed"],
  ["an index in another shape", (files) => files.set("index.json", Buffer.from('{"manifests":{}}')), "image-malformed"],
  [
    "an index that is nested without end",
    (files) => files.set("index.json", Buffer.from("[".repeat(1_000_000))),
    "image-malformed",
  ],
];

test("each blob has to be what its descriptor says", async (t) => {
  for (const [name, change, code] of refused) {
    const layout = sampleLayout([image]);
    const files = new Map([...layout.files].map(([path, bytes]) => [path, Buffer.from(bytes)]));
    change(files, layout);
    await assert.rejects(both(t, files), { name: "PimsError", code }, name);
  }
});

test("a document that is index and manifest at once is refused", async (t) => {
  const { files, manifests } = sampleLayout([image]);
  const mixed = Buffer.from(
    JSON.stringify({ ...JSON.parse(`${files.get(blob(manifests[0]!.digest))}`), manifests: [] }),
  );
  const digest = `sha256:${sha256Hex(mixed)}`;
  files.set(blob(digest), mixed);
  files.set("index.json", Buffer.from(JSON.stringify({ manifests: [{ digest, size: mixed.length }] })));
  await assert.rejects(both(t, files), { code: "image-malformed" });
});

test("indexes in indexes and thousands of manifests are bounded", async (t) => {
  const { files, manifests } = sampleLayout([image]);
  let inner: object = manifests[0]!;
  for (let depth = 0; depth < 20; depth++) {
    const bytes = Buffer.from(JSON.stringify({ manifests: [inner] }));
    inner = { digest: `sha256:${sha256Hex(bytes)}`, size: bytes.length };
    files.set(blob(`sha256:${sha256Hex(bytes)}`), bytes);
  }
  files.set("index.json", Buffer.from(JSON.stringify({ manifests: [inner] })));
  await assert.rejects(both(t, files), { code: "image-too-large" });
  const wide = Buffer.from(JSON.stringify({ manifests: Array(1000).fill(manifests[0]) }));
  const listed = { digest: `sha256:${sha256Hex(wide)}`, size: wide.length };
  files.set(blob(listed.digest), wide);
  files.set("index.json", Buffer.from(JSON.stringify({ manifests: Array(1000).fill(listed) })));
  await assert.rejects(both(t, files), { code: "image-too-large" });
});

test("a layout's files that are none of an image end in one error, and nothing is waited for", async (t) => {
  const layout = sampleLayout([image]);
  const make = (change: (folder: string, layer: string) => void): string => {
    const folder = writeLayout(join(temporary(t), "layout"), layout.files);
    change(folder, join(folder, layerPath(0)));
    return folder;
  };
  const replaced = (by: (layer: string) => void): string =>
    make((_, layer) => {
      rmSync(layer);
      by(layer);
    });
  const cases: [string, string][] = [
    ["a pipe", replaced((layer) => execFileSync("mkfifo", [layer]))],
    ["a folder", replaced((layer) => mkdirSync(layer))],
    ["a link to itself", replaced((layer) => symlinkSync(layer, layer))],
    ["a device", replaced((layer) => symlinkSync("/dev/zero", layer))],
    [
      "a file that is folder of another",
      make((folder) => {
        rmSync(join(folder, "blobs"), { recursive: true });
        writeFileSync(join(folder, "blobs"), "");
      }),
    ],
  ];
  for (const [name, folder] of cases)
    await assert.rejects(buildFromOciLayout(folder), { name: "PimsError", code: "image-unreadable" }, name);
  const elsewhere = replaced((layer) => symlinkSync("/etc/passwd", layer));
  await assert.rejects(buildFromOciLayout(elsewhere), { code: "image-malformed" });
  await assert.rejects(buildFromOciLayout(temporary(t)), { code: "image-unreadable", message: /no OCI layout/ });
  await assert.rejects(buildFromOciLayout("/nowhere"), { code: "image-unreadable" });
});

test("changed bytes anywhere in a layout give the same baseline or an error that was foreseen", async () => {
  const { files } = sampleLayout([image, arm], { nested: true });
  const options = { platform: "linux/amd64", name: "a" };
  const { lines } = (await fromTar(files, options)).baseline;
  const paths = [...files.keys()];
  const change = fc.tuple(fc.nat(paths.length - 1), fc.nat(5000), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const changed = new Map([...files].map(([path, bytes]) => [path, Buffer.from(bytes)]));
      for (const [which, at, value] of changes) {
        const bytes = changed.get(paths[which]!)!;
        bytes[at % bytes.length] = value;
      }
      try {
        assert.deepEqual((await fromTar(changed, options)).baseline.lines, lines);
      } catch (error) {
        assert.match(String(errorCode(error)), /^image-/, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
