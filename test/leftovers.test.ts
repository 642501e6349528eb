import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { removeTree } from "../src/demo/run-folder.ts";

function leftovers(folder: string): { status: number | null; stderr: string } {
  const script = join(import.meta.dirname, "../scripts/leftovers.ts");
  return spawnSync(process.execPath, [script, folder], { encoding: "utf8", timeout: 30_000 });
}

test("a process and a mount that tests leave are found, named and ended", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-"));
  t.after(() => removeTree(folder));
  const mountPoint = join(folder, "mounted");
  mkdirSync(mountPoint);
  execFileSync("mount", ["-t", "tmpfs", "pims-leftovers", mountPoint]);
  writeFileSync(join(mountPoint, "file"), "");
  const env = { PATH: process.env.PATH, PIMS_TEST_RUN: folder };
  const marked = spawn("sleep", ["1000"], { env, stdio: "ignore" });
  const other = spawn("sleep", ["1001"], { env: { ...env, PIMS_TEST_RUN: `${folder}x` }, stdio: "ignore" });
  t.after(() => other.kill("SIGKILL"));
  const ended = once(marked, "exit");

  const { status, stderr } = leftovers(folder);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`process ${marked.pid}: sleep 1000`));
  assert.match(stderr, /mount .*\/mounted/);
  assert.deepEqual(await ended, [null, "SIGKILL"]);
  assert.equal(other.exitCode, null);
  assert.ok(!existsSync(folder));
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(folder));
});

test("nothing left is nothing said", () => {
  const folder = mkdtempSync(join(tmpdir(), "pims-"));
  const { status, stderr } = leftovers(folder);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.ok(!existsSync(folder));
});

test("a folder that is not of a test run is not touched", () => {
  const folder = mkdtempSync(join(tmpdir(), "other-"));
  assert.notEqual(leftovers(folder).status, 0);
  assert.ok(existsSync(folder));
  execFileSync("rmdir", [folder]);
});
