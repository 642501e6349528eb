import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { sha256Hex } from "../core/digest.ts";
import type { Method } from "../process/address-space.ts";
import { FileDigests, HashBudget } from "./file-digest.ts";
import { type ProcessStart, StartReading } from "./process-start.ts";
import { Sweeper } from "./sweep.ts";
import { describeProcess } from "./watched.ts";

const METHODS: readonly Method[] = ["auto", "fallback"];
/** What every script here does, in the shell's words: it says that it runs, and stays. */
const STAY = "echo started; read never\n";

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-start-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

type Running = ChildProcess & { pid: number };

/** Starts a program and waits until what it runs has said so. */
async function run(
  t: TestContext,
  [program, ...args]: readonly [string, ...string[]],
  options: { cwd?: string; env?: Record<string, string>; input?: string } = {},
): Promise<Running> {
  const env = { PATH: process.env.PATH!, ...options.env };
  const child = spawn(program, args, { ...options, env, stdio: ["pipe", "pipe", "inherit"] });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  if (options.input !== undefined) child.stdin.write(options.input);
  await once(child.stdout, "data");
  return child as unknown as Running;
}

async function startOf(pid: number, method: Method, executedMs = Date.now()): Promise<ProcessStart> {
  const reading = new StartReading(describeProcess(pid, null).process, executedMs, method);
  try {
    assert.ok(await reading.isDone(10_000));
    return await reading.finish(new FileDigests(), new HashBudget(1n << 30n));
  } finally {
    reading.release();
  }
}

const shortly = ({ script, unresolved }: ProcessStart) => [script?.path ?? null, script?.sha256 ?? null, unresolved];

for (const method of METHODS)
  test(`a script is found through arguments, working folder and links, and what cannot be is told (${method})`, async (t) => {
    const folder = scratch(t);
    const script = join(folder, "x.sh");
    const link = join(folder, "link.sh");
    writeFileSync(script, `#!/bin/sh\n${STAY}`, { mode: 0o755 });
    symlinkSync("x.sh", link);
    const digest = sha256Hex(readFileSync(script));
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const feed = ["sh", "-c", `cat ${script} >${pipe} & exec sh ${pipe}`] as const;
    for (const [argv, options, expected] of [
      [[script], {}, [script, digest, null]],
      [["sh", script], {}, [script, digest, null]],
      [["sh", "x.sh"], { cwd: folder }, [script, digest, null]],
      [["sh", link], {}, [script, digest, null]],
      [["sh"], { input: STAY }, [null, null, "stdin"]],
      [["sh", "-c", STAY], {}, [null, null, "command"]],
      [feed, {}, [pipe, null, "not-a-file"]],
      [["perl", "-e", "$| = 1; print 1; <STDIN>"], {}, [null, null, "command"]],
    ] as const) {
      const { pid } = await run(t, argv as unknown as [string], options);
      assert.deepEqual(shortly(await startOf(pid, method)), expected, argv.join(" "));
    }
  });

test("a script of an interpreter that nobody knows is found by its first line, and a process's name alone says nothing", async (t) => {
  const folder = scratch(t);
  const [interpreter, script] = [join(folder, "own"), join(folder, "task")];
  copyFileSync(realpathSync("/bin/sh"), interpreter);
  chmodSync(interpreter, 0o755);
  writeFileSync(script, `#!${interpreter}\n${STAY}`, { mode: 0o755 });
  const first = await run(t, [script]);
  assert.deepEqual(shortly(await startOf(first.pid, "auto")), [script, sha256Hex(readFileSync(script)), null]);
  writeFileSync(join(folder, "data"), STAY);
  const renamed = { comm: "data", exe: "/opt/unknown" };
  const second = await run(t, [interpreter, join(folder, "data")]);
  const reading = new StartReading({ ...describeProcess(second.pid, null).process, ...renamed }, Date.now(), "auto");
  assert.ok(await reading.isDone(10_000));
  assert.deepEqual(shortly(await reading.finish(new FileDigests(), new HashBudget(1n))), [null, null, null]);
  reading.release();
});

test("a script that has gone, and one that was changed after the process was started", async (t) => {
  const folder = scratch(t);
  const [gone, changed] = [join(folder, "gone.sh"), join(folder, "changed.sh")];
  for (const path of [gone, changed]) writeFileSync(path, STAY);
  const first = await run(t, ["sh", gone]);
  rmSync(gone);
  assert.deepEqual(shortly(await startOf(first.pid, "auto")), [gone, null, "not-found"]);
  const second = await run(t, ["sh", changed]);
  const executedMs = Date.now();
  assert.equal((await startOf(second.pid, "auto", executedMs)).unresolved, null);
  await sleep(50);
  appendFileSync(changed, "true\n");
  const digest = sha256Hex(readFileSync(changed));
  assert.deepEqual(shortly(await startOf(second.pid, "auto", executedMs)), [changed, digest, "changed"]);
});

test("who started it, as whom, and with which arguments", async (t) => {
  const { pid } = await run(t, ["perl", "-e", "$> = 12; $| = 1; print 1; <STDIN>", "a secret"]);
  const start = await startOf(pid, "auto");
  assert.deepEqual([start.parent, start.user], [process.pid, 12]);
  assert.equal(start.arguments, sha256Hex(readFileSync(`/proc/${pid}/cmdline`)));
  assert.ok(!JSON.stringify(start, (_, value) => (typeof value === "bigint" ? `${value}` : value)).includes("secret"));
});

for (const method of METHODS)
  test(`libraries that a process is made to load are found, in its own root (${method})`, async (t) => {
    const folder = scratch(t);
    const root = join(folder, "root");
    mkdirSync(join(root, "etc"), { recursive: true });
    writeFileSync(join(root, "hide.so"), "no library");
    writeFileSync(join(root, "etc/ld.so.preload"), "# hidden\n/hide.so /nowhere.so\n");
    const program = "chroot $ARGV[0] or die; chdir '/'; $| = 1; print 1; <STDIN>";
    const said = `/hide.so:libfound.so ${join(folder, "outside.so")}`;
    writeFileSync(join(folder, "outside.so"), "outside");
    const env = { LD_PRELOAD: said };
    // The loader says on standard error that these are no libraries.
    const child = spawn("perl", ["-e", program, root], { env, stdio: ["pipe", "pipe", "ignore"] });
    t.after(() => child.kill("SIGKILL"));
    await once(child.stdout, "data");
    const { preloads, unread } = await startOf(child.pid!, method);
    const file = sha256Hex(readFileSync(join(root, "etc/ld.so.preload")));
    const hidden = sha256Hex("no library");
    assert.deepEqual(unread, []);
    assert.deepEqual(
      preloads.map(({ by, said, object }) => [by, said, object.path, object.sha256]),
      [
        ["LD_PRELOAD", sha256Hex(said), join(root, "hide.so"), hidden],
        ["LD_PRELOAD", sha256Hex(said), "libfound.so", null],
        ["LD_PRELOAD", sha256Hex(said), join(folder, "outside.so"), null],
        ["/etc/ld.so.preload", file, join(root, "hide.so"), hidden],
        ["/etc/ld.so.preload", file, "/nowhere.so", null],
      ],
    );
  });

test("a device in a library list's or a script's place is not opened", async (t) => {
  const root = join(scratch(t), "root");
  mkdirSync(join(root, "etc"), { recursive: true });
  // Major 0 belongs to no driver: opening it would be ENXIO, and be reported.
  execFileSync("mknod", [join(root, "etc/ld.so.preload"), "c", "60", "1"]);
  const child = spawn("perl", ["-e", "chroot $ARGV[0] or die; chdir '/'; $| = 1; print 1; <STDIN>", root]);
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  const { preloads, unread } = await startOf(child.pid!, "auto");
  assert.deepEqual([preloads, unread], [[], []]);
});

for (const method of METHODS)
  test(`a program that has made room for another before it was measured is told all the same (${method})`, async (t) => {
    const sweeper = new Sweeper({ scope: "all", method });
    t.after(() => sweeper.close());
    const { pid, stdin } = await run(t, ["sh", "-c", "echo started; read word; exec sleep 100"]);
    sweeper.note([pid]);
    const before = describeProcess(pid, null).process.exe;
    stdin!.write("go\n");
    for (const end = Date.now() + 10_000; describeProcess(pid, null).process.exe === before; await sleep(5))
      assert.ok(Date.now() < end);
    const { facts } = await sweeper.measure([pid]);
    const programs = facts.flatMap((fact) =>
      fact.kind === "code" && fact.object.role === "executable" ? [fact.object.path] : [],
    );
    assert.deepEqual(programs, [before, describeProcess(pid, null).process.exe]);
  });
