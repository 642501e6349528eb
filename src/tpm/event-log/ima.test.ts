import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import { vector, withoutVectors } from "../../../test/vectors.ts";
import { concatBytes, fromHex, toHex } from "../../core/bytes.ts";
import { survivesMutation } from "../fixtures.ts";
import { imaExtension, parseImaList, replayImaList, wholeImaEntries } from "./ima.ts";
import { fieldsOf, imaEntryBytes, imaNg } from "./sample-ima.ts";

const DIGEST = "ab".repeat(32);

test("what an entry says of a file, in each template", () => {
  const named = concatBytes(Buffer.from("sha256:\0"), fromHex(DIGEST));
  const path = Buffer.from("/usr/sbin/runc\0");
  const cgroup = Buffer.from("/docker/abc\0");
  const file = { algorithm: "sha256", digest: DIGEST, path: "/usr/sbin/runc", cgroup: null };
  for (const [template, fields, expected] of [
    ["ima-ng", [named, path], file],
    ["ima-sig", [named, path, new Uint8Array(9)], file],
    ["ima-ngv2", [concatBytes(Buffer.from("ima:"), named), path], file],
    ["ima-cgpath", [Buffer.from("/init\0"), cgroup, named, path], { ...file, cgroup: "/docker/abc" }],
    ["ima-dep-cgn", [Buffer.from("/init\0"), Buffer.from("docker\0"), named, path], { ...file, cgroup: "docker" }],
    // No digest covers the name, so it says nothing.
    ["ima-new", [named, path], file],
    ["ima-cgpath", [named, path], file],
    ["ima-ng", [named], null],
    ["ima-ng", [path, path, named], null],
    ["ima-ng", [fromHex(DIGEST), path], null],
  ] as const) {
    const [entry, ...more] = parseImaList(imaEntryBytes(template, fieldsOf(...fields)));
    assert.deepEqual([entry!.template, entry!.file, entry!.violation, more], [template, expected, false, []]);
  }
  const raw = imaNg("/x", DIGEST, { path: new Uint8Array([0x2f, 0xff]) });
  assert.deepEqual(parseImaList(raw)[0]!.file!.path, { hex: "2fff" });
});

test("the first template hashes the name padded to 256 bytes", () => {
  const digest = new Uint8Array(20).fill(7);
  const name = Buffer.from("/init");
  const data = concatBytes(digest, fieldsOf(name));
  const [entry] = parseImaList(imaEntryBytes("ima", data));
  assert.deepEqual(entry!.file, { algorithm: "sha1", digest: toHex(digest), path: "/init", cgroup: null });
  const padded = concatBytes(digest, name, new Uint8Array(256 - name.length));
  assert.equal(toHex(imaExtension(entry!, "sha256")), hash("sha256", padded));
  const long = parseImaList(imaEntryBytes("ima", concatBytes(digest, fieldsOf(new Uint8Array(256).fill(0x61)))));
  assert.equal(imaExtension(long[0]!, "sha1").length, 20);
  assert.throws(() => parseImaList(imaEntryBytes("ima", concatBytes(digest, fieldsOf(new Uint8Array(257))))), {
    code: "tpm-malformed",
  });
});

test("violations extend all ones; old kernels pad the digest of SHA-1", () => {
  const [good, bad] = parseImaList(concatBytes(imaNg("/a", DIGEST), imaNg("/b", DIGEST, { violation: true })));
  assert.deepEqual([good!.violation, bad!.violation], [false, true]);
  assert.equal(toHex(imaExtension(bad!, "sha256")), "ff".repeat(32));
  assert.equal(toHex(imaExtension(bad!, "sha256", true)), "ff".repeat(32));
  assert.equal(toHex(imaExtension(good!, "sha256")), hash("sha256", good!.data));
  assert.equal(toHex(imaExtension(good!, "sha256", true)), hash("sha1", good!.data) + "00".repeat(12));
  assert.notDeepEqual(replayImaList([good!], "sha256"), replayImaList([good!], "sha256", { padded: true }));
  const middle = replayImaList([good!], "sha256");
  assert.deepEqual(replayImaList([bad!], "sha256", { start: middle }), replayImaList([good!, bad!], "sha256"));
  const elsewhere = parseImaList(imaNg("/a", DIGEST, { pcr: 11 }));
  assert.throws(() => replayImaList(elsewhere, "sha256"), { code: "tpm-malformed", message: /PCR 11/ });
});

test("a list that is cut, altered or too large is malformed", () => {
  const one = imaNg("/usr/bin/a", DIGEST);
  for (let length = 1; length < one.length; length++) {
    assert.throws(() => parseImaList(one.subarray(0, length)), { code: "tpm-malformed" }, `${length}`);
    assert.deepEqual(wholeImaEntries(concatBytes(one, one.subarray(0, length)), 1000), {
      entries: 1,
      bytes: one.length,
    });
  }
  assert.deepEqual(wholeImaEntries(concatBytes(one, one, one), 2 * one.length + 5), {
    entries: 2,
    bytes: 2 * one.length,
  });
  assert.deepEqual(parseImaList(new Uint8Array(0)), []);
  for (const template of ["ima-ng", "ima-sig", "ima-cgpath", "ima"])
    survivesMutation(imaEntryBytes(template, fieldsOf(new Uint8Array(20), one, one)), parseImaList);
  assert.throws(() => parseImaList(new Uint8Array(64 * 1024 * 1024 + 1)), { code: "tpm-malformed" });
});

test("a long list takes seconds at most", () => {
  const one = imaNg("/usr/bin/a", DIGEST);
  const count = 100_000;
  const list = concatBytes(...Array.from({ length: count }, () => one));
  const start = performance.now();
  const entries = parseImaList(list);
  assert.equal(entries.length, count);
  replayImaList(entries, "sha256");
  assert.equal(wholeImaEntries(list, list.length).entries, count);
  assert.ok(performance.now() - start < 20_000);
});

test("real lists give their PCR 10", { skip: withoutVectors() }, () => {
  const read = (name: string) => new Uint8Array(Buffer.from(Buffer.from(vector(name)).toString("latin1"), "base64"));
  const whole = (bytes: Uint8Array) => bytes.subarray(0, wholeImaEntries(bytes, bytes.length).bytes);

  const bytes = read("tpm2-tss-sml-ima-sig-sha256.b64");
  assert.throws(() => parseImaList(bytes), { code: "tpm-malformed" });
  const entries = parseImaList(whole(bytes));
  assert.deepEqual([entries.length, bytes.length - whole(bytes).length], [9, 6]);
  for (const entry of entries) assert.equal(hash("sha1", entry.data), toHex(entry.templateDigest));
  assert.equal(toHex(replayImaList(entries, "sha1")), "b44019405884709ca410b0c30b48159d3a556622");
  survivesMutation(bytes, parseImaList);

  const violated = parseImaList(whole(read("tpm2-tss-sml-ima-sig-sha256-invalidated.b64")));
  assert.deepEqual(
    violated.map(({ violation }) => violation),
    [false, true],
  );
  assert.equal(toHex(replayImaList(violated, "sha1")), "a0e7bc9af0a2b54147b0d595d058f15c6cc44a6d");

  const lines = Buffer.from(vector("rust-keylime-ascii_runtime_measurements")).toString().trim().split("\n");
  const list = lines.map((line) => {
    const [, pcr, digest, template, algorithm, hex, path] = /^(\d+) (\S+) (\S+) (\w+):([0-9a-f]+) (.*)$/.exec(line)!;
    const named = concatBytes(Buffer.from(`${algorithm}:\0`), fromHex(hex!));
    const data = fieldsOf(named, Buffer.from(`${path}\0`));
    return imaEntryBytes(template!, data, { pcr: Number(pcr), digest: fromHex(digest!) });
  });
  const long = parseImaList(concatBytes(...list));
  assert.equal(long.length, 826);
  for (const entry of long) assert.equal(hash("sha1", entry.data), toHex(entry.templateDigest));
  assert.equal(toHex(replayImaList(long, "sha1")), "82231c67a69da98dc5b3aa10f6343d33109225fc");
});
