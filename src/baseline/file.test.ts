import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readBaselineFile, writeBaselineFile } from "./file.ts";
import { formatEntry, formatHeader, parseBaseline } from "./format.ts";

const baseline = parseBaseline([
  formatHeader({
    identity: `sha256:${"0".repeat(64)}`,
    name: "é",
    architecture: "amd64",
    ports: [],
    entrypoint: [],
    jit: [],
    entries: 1,
  }),
  formatEntry({ path: "/a\nb", kind: "script", size: 1n, sha256: "0".repeat(64), segments: [] }),
]);

test("a baseline's file holds its lines and nothing else", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-baseline-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "web.baseline");
  writeFileSync(path, "an older one");
  await writeBaselineFile(path, baseline);
  assert.equal(readFileSync(path, "utf8"), `${baseline.lines[0]}\n${baseline.lines[1]}\n`);
  assert.deepEqual(await readBaselineFile(path), baseline);
  assert.deepEqual(readdirSync(folder), ["web.baseline"]);

  const bytes = readFileSync(path);
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length));
    await assert.rejects(readBaselineFile(path), { code: "baseline-malformed" });
  }
  for (const bad of [Buffer.concat([bytes, Buffer.from("\n")]), Buffer.concat([Buffer.from("\ufeff"), bytes])]) {
    writeFileSync(path, bad);
    await assert.rejects(readBaselineFile(path), { code: "baseline-malformed" });
  }
  writeFileSync(path, Buffer.from(bytes.toString("latin1"), "latin1").fill(0xff, 120, 121));
  await assert.rejects(readBaselineFile(path), { code: "baseline-malformed" });
});

test("a file that is not there, or cannot be, is an error that says so", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-baseline-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const missing = join(folder, "missing");
  await assert.rejects(readBaselineFile(missing), { code: "baseline-unreadable", message: /missing does not exist/ });
  await assert.rejects(readBaselineFile(folder), { code: "baseline-unreadable", message: /not a file/ });
  await assert.rejects(writeBaselineFile(join(missing, "x"), baseline), { code: "baseline-unwritable" });
  await assert.rejects(writeBaselineFile(folder, baseline), { code: "baseline-unwritable" });
  assert.deepEqual(readdirSync(folder), []);
});
