// From whatever digest an engine reports to the identity of the image; its content is believed by its digest only.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256Hex } from "../core/digest.ts";
import { chainId, identifyImage, MAX_DOCUMENT_BYTES } from "./image-identity.ts";

const digestOf = (bytes: Uint8Array) => `sha256:${sha256Hex(bytes)}`;
const OURS = process.arch === "x64" ? "amd64" : process.arch;

/** An engine's content, to be changed by a test. */
function contents() {
  const blobs = new Map<string, Uint8Array>();
  const add = (value: object): string => {
    const bytes = Buffer.from(JSON.stringify(value));
    blobs.set(digestOf(bytes), bytes);
    return digestOf(bytes);
  };
  const image = (name: string): { config: string; manifest: string } => {
    const config = add({ architecture: name, rootfs: { type: "layers", diff_ids: [digestOf(Buffer.from(name))] } });
    return { config, manifest: add({ schemaVersion: 2, config: { digest: config }, layers: [] }) };
  };
  const list = (...manifests: { digest: string; os?: string; architecture?: string }[]): string =>
    add({ manifests: manifests.map(({ digest, ...platform }) => ({ digest, platform })) });
  return { blobs, add, image, list, read: async (digest: string) => blobs.get(digest) ?? null };
}

test("an index, its manifest and its configuration lead to one identity", async () => {
  const { image, list, read } = contents();
  const [ours, other, proof] = [image("ours"), image("other"), image("proof")];
  const inner = list(
    { digest: other.manifest, os: "linux", architecture: "riscv64" },
    { digest: ours.manifest, os: "linux", architecture: OURS },
    { digest: proof.manifest, os: "unknown", architecture: "unknown" },
  );
  const outer = list({ digest: inner });
  for (const digest of [ours.config, ours.manifest, inner, outer])
    assert.equal((await identifyImage(digest, read)).identity, ours.config, digest);
  const [diffId] = (await identifyImage(ours.config, read)).diffIds;
  assert.equal(diffId, digestOf(Buffer.from("ours")));
});

test("of an index whose platform is another one the only image that is there counts, and of two none", async () => {
  const { blobs, image, list, read } = contents();
  const [one, two] = [image("one"), image("two")];
  const index = list(
    { digest: one.manifest, os: "linux", architecture: "riscv64" },
    { digest: two.manifest, os: "linux", architecture: "s390x" },
  );
  await assert.rejects(identifyImage(index, read), { code: "image-unresolved", message: /several images/ });
  blobs.delete(two.manifest);
  assert.equal((await identifyImage(index, read)).identity, one.config);
  blobs.delete(one.manifest);
  await assert.rejects(identifyImage(index, read), { code: "image-unresolved", message: /is not there/ });
});

test("of several images that an engine may take none counts, however their platform is written", async () => {
  const { add, image, list, read } = contents();
  const [evil, good] = [image("evil"), image("good")];
  const ours = { digest: good.manifest, platform: { os: "linux", architecture: OURS } };
  const others = OURS === "amd64" ? ["x86_64", "X86-64", "AMD64"] : ["aarch64", "AARCH64", "ARM64"];
  const platforms = [
    ...others.map((architecture) => ({ os: "linux", architecture })),
    { os: "Linux", architecture: OURS },
    { os: "", architecture: OURS },
    { architecture: OURS },
    { os: null, architecture: OURS, variant: "v3" },
    { os: "l\u0130nux", architecture: OURS },
    {},
    null,
    undefined,
  ];
  for (const platform of platforms)
    for (const manifests of [
      [{ digest: evil.manifest, platform }, ours],
      [ours, { digest: evil.manifest, platform }],
    ])
      await assert.rejects(
        identifyImage(add({ manifests }), read),
        { code: "image-unresolved", message: /several images/ },
        JSON.stringify(platform),
      );
  assert.equal(
    (await identifyImage(list({ digest: evil.manifest, os: "linux", architecture: others[0]! }), read)).identity,
    evil.config,
  );
});

test("a document that programs read differently is none", async () => {
  const { blobs, image, read } = contents();
  const [evil, good] = [image("evil"), image("good")];
  const raw = (text: string): string => {
    const bytes = Buffer.from(text);
    blobs.set(digestOf(bytes), bytes);
    return digestOf(bytes);
  };
  const [a, b] = [`{"digest":"${good.config}"}`, `{"digest":"${evil.config}"}`];
  const platform = JSON.stringify({ os: "linux", architecture: OURS });
  const listed = (key: string): string =>
    `{"manifests":[{"digest":"${evil.manifest}","${key}":${platform}},{"digest":"${good.manifest}","platform":${platform}}]}`;
  assert.equal((await identifyImage(raw(`{"config":${a},"layers":[],"Other":${b}}`), read)).identity, good.config);
  for (const text of [
    `{"config":${a},"Config":${b},"layers":[]}`,
    `{"Config":${b},"config":${a},"layers":[]}`,
    `{"config":${b},"config":${a},"layers":[]}`,
    `{"config":${b},"\\u0063onfig" :${a},"layers":[]}`,
    `{"config":${a},"con\ufb01g":${b},"Layers":[],"layers":[]}`,
    `{"config":{"digest":"${good.config}","DIGEST":"${evil.config}"},"layers":[]}`,
    `{"config":{"digest":"${evil.config}","digest":"${good.config}"},"layers":[]}`,
    `{"config":${a},"layers":[],"Manifests":[]}`,
    `{"config":${a},"layers":[],"manife\u017fts":[]}`,
    `{"rootfs":{"diff_ids":[]},"RootFS":{"diff_ids":["${good.config}"]}}`,
    `{"rootfs":{"diff_ids":[],"Diff_IDs":["${good.config}"]}}`,
    listed("Platform"),
    listed("plat\u0066orm").replace(platform, platform.replace('"os"', '"o\u017f"')),
  ])
    await assert.rejects(identifyImage(raw(text), read), { code: "image-unresolved" }, text);
});

test("content with another digest than it was asked for by is not believed, nor what is two things at once", async () => {
  const { blobs, add, image, read } = contents();
  const { manifest, config } = image("web");
  blobs.set(manifest, blobs.get(image("foreign").manifest)!);
  await assert.rejects(identifyImage(manifest, read), { code: "image-unresolved", message: /other content/ });
  const rootfs = { diff_ids: [] };
  for (const both of [
    { manifests: [], config: { digest: config }, layers: [] },
    { manifests: [], rootfs },
    { config: { digest: config }, layers: [], rootfs },
    {},
    { config: { digest: "sha256:../../etc/passwd" }, layers: [] },
  ])
    await assert.rejects(identifyImage(add(both), read), { code: "image-unresolved" }, JSON.stringify(both));
  for (const text of ["", "[]", "null", '{"rootfs"', "\ud800"]) {
    const bytes = Buffer.from(text);
    blobs.set(digestOf(bytes), bytes);
    await assert.rejects(identifyImage(digestOf(bytes), read), { code: "image-unresolved" }, text);
  }
});

test("what leads on without end, is too long or lists too much comes to an end", async () => {
  const { blobs, add, image, list, read } = contents();
  let deep = image("deep").manifest;
  for (let count = 0; count < 10; count++) deep = list({ digest: deep });
  await assert.rejects(identifyImage(deep, read), { code: "image-unresolved", message: /too many parts/ });
  const long = Buffer.alloc(MAX_DOCUMENT_BYTES + 1, " ");
  blobs.set(digestOf(long), long);
  await assert.rejects(identifyImage(digestOf(long), read), { code: "image-unresolved" });
  const many = Array.from({ length: 300 }, () => ({ digest: image("same").manifest }));
  await assert.rejects(identifyImage(add({ manifests: many }), read), { code: "image-unresolved" });
  let wide = list(...many.slice(0, 250));
  for (let count = 0; count < 2; count++) wide = list({ digest: wide }, { digest: wide });
  await assert.rejects(identifyImage(wide, read), { code: "image-unresolved", message: /too many parts/ });
});

test("an index of many parts keeps nobody waiting for all of them", async (t) => {
  const { list, read } = contents();
  const absent = Array.from({ length: 200 }, (_, index) => ({ digest: digestOf(Buffer.from(`absent ${index}`)) }));
  const index = list(...absent);
  const state = { nowMs: 0, reads: 0 };
  t.mock.method(performance, "now", () => state.nowMs);
  const slow = async (digest: string) => {
    state.reads++;
    state.nowMs += 1000;
    return read(digest);
  };
  await assert.rejects(identifyImage(index, slow), { code: "image-unresolved", message: /not read within 10 s/ });
  assert.equal(state.reads, 11);
  state.reads = 0;
  // What could be ours and is not there is not asked for again among all.
  const quick = async (digest: string) => {
    state.reads++;
    return read(digest);
  };
  await assert.rejects(identifyImage(index, quick), { code: "image-unresolved", message: /is not there/ });
  assert.equal(state.reads, 201);
});

test("a chain of layers is called as the specification's example says", () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => digestOf(Buffer.from(name))) as [string, string, string];
  const ab = `sha256:${sha256Hex(`${a} ${b}`)}`;
  assert.equal(chainId([a]), a);
  assert.equal(chainId([a, b, c]), `sha256:${sha256Hex(`${ab} ${c}`)}`);
});
