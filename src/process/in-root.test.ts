import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { holdInRoot } from "./in-root.ts";

/** A process whose root and working folder are below a folder of this test's. */
async function start(t: TestContext, root: string, folder: string): Promise<ChildProcess & { pid: number }> {
  const program = "chroot $ARGV[0] or die; chdir $ARGV[1] or die; $| = 1; print 1; sleep 100";
  const child = spawn("perl", ["-e", program, root, folder], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  await once(child.stdout!, "data");
  return child as ChildProcess & { pid: number };
}

function makeRoot(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-root-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const root = join(folder, "root");
  for (const path of ["srv/app", "etc"]) mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, "srv/app/main.py"), "inside");
  writeFileSync(join(root, "etc/hostname"), "inside");
  writeFileSync(join(folder, "secret"), "outside");
  for (const [target, link] of [
    ["/etc/hostname", "srv/absolute"],
    ["../../../../../etc/hostname", "srv/app/climbing"],
    ["../../../secret", "srv/secret"],
    [join(folder, "secret"), "srv/named"],
    ["app", "srv/current"],
    ["loop", "srv/loop"],
    ["/proc/1/root/etc/hostname", "srv/magic"],
  ] as const)
    symlinkSync(target, join(root, link));
  return root;
}

for (const method of ["auto", "fallback"] as const)
  test(`a name is what the process means by it, and never a file outside of its root (${method})`, async (t) => {
    const root = makeRoot(t);
    const { pid } = await start(t, root, "/srv/app");
    const find = async (path: string) => {
      const fd = await holdInRoot(pid, path, method);
      if (fd === null) return null;
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } finally {
        closeSync(fd);
      }
    };
    for (const [path, found] of [
      ["main.py", "/srv/app/main.py"],
      ["./main.py", "/srv/app/main.py"],
      ["../app//./main.py", "/srv/app/main.py"],
      ["/srv/current/main.py", "/srv/app/main.py"],
      ["/etc/hostname", "/etc/hostname"],
      ["../../../../../../etc/hostname", "/etc/hostname"],
      ["/srv/absolute", "/etc/hostname"],
      ["climbing", "/etc/hostname"],
      ["/srv/app", "/srv/app"],
      ["/srv/secret", null],
      ["/srv/named", null],
      ["/srv/loop", null],
      ["/srv/magic", null],
      ["/srv/nothing", null],
      ["main.py/more", null],
      [`/${"x".repeat(300)}`, null],
      ["a\0b", null],
    ] as const)
      assert.equal(await find(path), found === null ? null : root + found, path);
  });

test("names of descriptors lead to what the process holds", async (t) => {
  const { pid } = await start(t, makeRoot(t), "/");
  for (const path of ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]) {
    const fd = await holdInRoot(pid, path);
    assert.equal(readlinkSync(`/proc/self/fd/${fd}`), "/dev/null");
    closeSync(fd!);
  }
  assert.equal(await holdInRoot(pid, "/dev/fd/77"), null);
});

test("of a process that has gone nothing is found", async (t) => {
  const child = await start(t, makeRoot(t), "/");
  child.kill("SIGKILL");
  await once(child, "exit");
  await assert.rejects(holdInRoot(child.pid, "/etc/hostname"), { code: "ENOENT" });
});
