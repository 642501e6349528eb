import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileStats } from "../kernel/file-stats.ts";
import { FileDigests } from "./file-digest.ts";
import { KnownPrograms, userOf } from "./known-programs.ts";

const web = { runtime: "runc", id: "web" } as const;

async function start(t: TestContext, program: string): Promise<ChildProcess & { pid: number }> {
  const child = spawn(program, ["60"], { stdio: "ignore" });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  await once(child, "spawn");
  return child as ChildProcess & { pid: number };
}

test("a program is known in its container, unchanged, for its user; a changed one and an interpreter are not", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pims-known-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, "program");
  copyFileSync("/bin/sleep", program);
  const digests = new FileDigests();
  const known = new KnownPrograms(digests);
  const { pid } = await start(t, program);
  const file = fileStats(program);
  assert.equal(known.has(web, file, pid), false);
  known.add(web, file, "/usr/bin/bash", userOf(pid));
  assert.equal(known.has(web, file, pid), false, "each of an interpreter's processes may run another script");
  known.add(web, file, program, userOf(pid) + 1);
  assert.equal(known.has(web, file, pid), false, "somebody else's");
  known.add(web, file, program, userOf(pid));
  assert.equal(known.has(web, file, pid), true);
  assert.equal(known.has({ runtime: "runc", id: "other" }, file, pid), false);
  digests.distrust(new Set([`${file.device}:${file.inode}`]));
  assert.equal(known.has(web, file, pid), false, "its times prove nothing");
  digests.distrust(new Set());
  copyFileSync("/bin/sleep", join(folder, "other"));
  const other = await start(t, join(folder, "other"));
  assert.equal(known.has(web, fileStats(join(folder, "other")), other.pid), false, "another file, with the same bytes");
  assert.equal(known.has(web, file, 4_194_304), false, "gone");
});
