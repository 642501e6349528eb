import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { sha256Hex } from "../core/digest.ts";
import { sampleElf } from "../measure/sample-elf.ts";
import { DERIVATION } from "./assemble.ts";
import { BaselineFolder } from "./baseline-folder.ts";
import { buildFromFolder } from "./folder.ts";
import { formatEntry, formatHeader, parseBaseline } from "./format.ts";

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-baselines-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function baseline(number: number, sha256 = "0".repeat(64)) {
  const identity = `sha256:${number.toString(16).padStart(64, "0")}`;
  const header = { identity, name: "web", architecture: "amd64", ports: [], entrypoint: [], jit: [], entries: 1 };
  return parseBaseline([
    formatHeader(header),
    formatEntry({ path: "/a", kind: "script", size: 1n, sha256, segments: [] }),
  ]);
}

test("a baseline is found by its image's identity, and no other's", async (t) => {
  const folder = await BaselineFolder.open(join(temporary(t), "not/yet/there"));
  assert.equal(statSync(folder.path).mode & 0o777, 0o700);
  await Promise.all([folder.write(baseline(1)), folder.write(baseline(2)), folder.write(baseline(1))]);
  assert.deepEqual(await folder.read(baseline(1).header.identity), baseline(1));
  assert.equal(await folder.read(baseline(3).header.identity), null);
  assert.equal(readdirSync(folder.path).length, 2);
});

test("a file that is not what its name says is removed; drafts and others' files stay", async (t) => {
  const folder = await BaselineFolder.open(join(temporary(t), "b"));
  await folder.write(baseline(1));
  const [name] = readdirSync(folder.path);
  const path = join(folder.path, name!);
  const text = (one: { lines: readonly string[] }) => `${one.lines.join("\n")}\n`;
  writeFileSync(`${path}.draft`, text(baseline(1)));
  writeFileSync(join(folder.path, "notes"), "mine");
  for (const content of [
    text(baseline(2)),
    text(baseline(1, "1".repeat(64))),
    text(baseline(1)).slice(0, -9),
    Buffer.from([255, 10]),
    "",
  ]) {
    writeFileSync(path, content);
    assert.equal(await folder.read(baseline(1).header.identity), null);
    assert.deepEqual(readdirSync(folder.path).toSorted(), [`${name}.draft`, "notes"]);
  }
  mkdirSync(path);
  assert.equal(await folder.read(baseline(1).header.identity), null);
  await folder.write(baseline(1));
  assert.deepEqual(await folder.read(baseline(1).header.identity), baseline(1));
});

test("together they are bounded: what was not used for longest goes first", async (t) => {
  const at = join(temporary(t), "b");
  const size = Buffer.byteLength(`${baseline(1).lines.join("\n")}\n`);
  const folder = await BaselineFolder.open(at, 2 * size);
  writeFileSync(join(at, "notes"), "x".repeat(10 * size));
  for (const number of [1, 2]) await folder.write(baseline(number));
  for (const name of readdirSync(at)) utimesSync(join(at, name), 1000, name.includes("1-") ? 1000 : 2000);
  // Read, so used now.
  assert.notEqual(await folder.read(baseline(1).header.identity), null);
  await folder.write(baseline(3));
  assert.notEqual(await folder.read(baseline(1).header.identity), null);
  assert.equal(await folder.read(baseline(2).header.identity), null);
  assert.notEqual(await folder.read(baseline(3).header.identity), null);
  assert.ok(readdirSync(at).includes("notes"));
});

test("a folder that others may write to, a link and a file are refused", async (t) => {
  const at = temporary(t);
  mkdirSync(join(at, "open"));
  chmodSync(join(at, "open"), 0o770);
  mkdirSync(join(at, "closed"), { mode: 0o700 });
  symlinkSync("closed", join(at, "link"));
  writeFileSync(join(at, "file"), "");
  await BaselineFolder.open(join(at, "closed"));
  for (const name of ["open", "link", "file", "file/below"])
    await assert.rejects(BaselineFolder.open(join(at, name)), { code: "cache-unusable" });
});

test("an image gives the baseline that it gave before, or what was kept is not used", async (t) => {
  const at = temporary(t);
  const files: Record<string, [Buffer | string, number]> = {
    "usr/bin/server": [sampleElf({ type: 2 }), 0o755],
    "usr/lib/libone.so.1": [sampleElf({ type: 3, seed: 1 }), 0o644],
    "usr/bin/node": [sampleElf({ type: 3, seed: 2 }), 0o755],
    "usr/bin/start": ["#!/bin/sh\n", 0o755],
    "srv/app.py": ["print(1)\n", 0o644],
    "srv/entry": ["exec server\n", 0o644],
    "etc/passwd": ["root:x:0:0::/:/bin/sh\n", 0o644],
    "etc/ld.so.preload": ["/usr/lib/libone.so.1\n", 0o644],
  };
  for (const [name, [content, mode]] of Object.entries(files)) {
    mkdirSync(dirname(join(at, name)), { recursive: true });
    writeFileSync(join(at, name), content, { mode });
  }
  const { header, lines } = await buildFromFolder({ root: at, name: "sample", entrypoint: ["sh", "/srv/entry"] });
  // The identity is a digest over names and modes, too, which are the machine's.
  const digest = sha256Hex(lines.join("\n").replace(header.identity, ""));
  const hint = `another baseline: count DERIVATION in assemble.ts up\n${lines.join("\n")}`;
  assert.deepEqual(
    { derivation: DERIVATION, digest },
    { derivation: 1, digest: "de3523f39151749bbea9f9dabda8e953f880ccd1cc8965e70641e88be6fc7951" },
    hint,
  );
});
