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
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BaselineFolder } from "./baseline-folder.ts";
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
