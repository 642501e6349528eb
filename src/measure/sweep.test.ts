import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Method } from "../process/address-space.ts";
import { parseMaps } from "../process/mapping.ts";
import type { Fact } from "./facts.ts";
import { HashBudget } from "./file-digest.ts";
import { Sweeper, type SweepResult } from "./sweep.ts";

const sleep = realpathSync("/bin/sleep");
const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");

async function start(
  t: TestContext,
  command: string,
  args: string[],
  env = process.env,
): Promise<ChildProcess & { pid: number }> {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  });
  await once(child, "spawn");
  // The loader needs a moment until the C library is mapped.
  for (let tries = 0; tries < 100; tries++) {
    if (readFileSync(`/proc/${child.pid}/maps`, "latin1").includes("libc.so.6")) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await new Promise((resolve) => setTimeout(resolve, 30));
  return child as ChildProcess & { pid: number };
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "pims-sweep-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Address and bytes at the program's entry point, which a running program has left behind. */
function writeAtEntry(pid: number, bytes: (old: Buffer) => Buffer): { offset: bigint } {
  const elf = readFileSync(`/proc/${pid}/exe`);
  const entry = elf.readBigUInt64LE(24);
  const programs = Number(elf.readBigUInt64LE(32));
  let offset = entry;
  for (let index = 0; index < elf.readUInt16LE(56); index++) {
    const at = programs + index * 56;
    const [fileOffset, address, size] = [
      elf.readBigUInt64LE(at + 8),
      elf.readBigUInt64LE(at + 16),
      elf.readBigUInt64LE(at + 32),
    ];
    if (elf.readUInt32LE(at) === 1 && address <= entry && entry < address + size) offset = entry - address + fileOffset;
  }
  const mapping = parseMaps(readFileSync(`/proc/${pid}/maps`)).find(
    ({ name, offset: from, start, end }) => name === sleep && from <= offset && offset < from + (end - start),
  );
  assert.ok(mapping);
  const fd = openSync(`/proc/${pid}/mem`, "r+");
  try {
    const address = Number(mapping.start + offset - mapping.offset);
    const old = Buffer.alloc(16);
    readSync(fd, old, 0, 16, address);
    writeSync(fd, bytes(old), 0, 16, address);
  } finally {
    closeSync(fd);
  }
  return { offset };
}

function sweeperOf(t: TestContext, method: Method): Sweeper {
  const made = new Sweeper({ scope: "all", method });
  t.after(() => made.close());
  return made;
}

let pagesCompared = 0;

/** What a further sweep of everything says about these processes. */
async function again(sweeper: Sweeper, ...pids: number[]): Promise<Fact[]> {
  const { facts, coverage } = await sweeper.sweep();
  pagesCompared += coverage.pagesCompared;
  return facts.filter(({ process }) => pids.includes(process.pid));
}

const code = (facts: readonly Fact[]) => facts.flatMap((fact) => (fact.kind === "code" ? [fact] : []));
const modified = (facts: readonly Fact[]) => facts.flatMap((fact) => (fact.kind === "modified" ? [fact] : []));

for (const method of ["auto", "fallback"] as const satisfies readonly Method[]) {
  const sweeper = (t: TestContext) => sweeperOf(t, method);

  test(`${method}: program and libraries are measured once, then nothing is hashed`, async (t) => {
    const child = await start(t, sleep, ["100"]);
    const measured = sweeper(t);
    const first = await measured.measure([child.pid]);
    const program = code(first.facts).find(({ object }) => object.role === "executable");
    assert.equal(program?.object.path, sleep);
    assert.equal(program?.object.sha256, sha256(readFileSync(sleep)));
    assert.ok(
      code(first.facts).some(({ object }) => object.role === "library" && String(object.path).includes("libc.so.6")),
    );
    assert.ok(first.coverage.hashedFiles >= 3);
    const known = await measured.measure([child.pid]);
    assert.equal(known.coverage.hashedFiles, 0);
    assert.equal(known.coverage.mappings, first.coverage.mappings);
    assert.deepEqual(await again(measured, child.pid), []);
  });

  test(`${method}: of what executes its program is measured at once, and the rest when it is loaded`, async (t) => {
    const child = await start(t, sleep, ["100"]);
    const measured = sweeper(t);
    measured.note([child.pid]);
    const names = async (measuring: Promise<SweepResult>) =>
      code((await measuring).facts).map(({ object }) => [object.role, String(object.path).replace(/^.*\//, "")]);
    assert.deepEqual(await names(measured.measureExecuted()), [["executable", "sleep"]]);
    assert.deepEqual(await names(measured.measureLoaded()), []);
    assert.equal(measured.loading, 1);
    const loaded = (await names(measured.measureLoaded())).map(([, name]) => name);
    assert.ok(loaded.includes("sleep") && loaded.includes("libc.so.6"), String(loaded));
    assert.equal(measured.loading, 0);
    assert.deepEqual(await again(measured, child.pid), []);
  });

  test(`${method}: a page that is overwritten in memory is named, and only that page`, async (t) => {
    const child = await start(t, sleep, ["100"]);
    const neighbour = await start(t, sleep, ["100"]);
    const measured = sweeper(t);
    await measured.measure([child.pid, neighbour.pid]);
    let original: Buffer = Buffer.alloc(0);
    const { offset } = writeAtEntry(child.pid, (old) => {
      original = old;
      return Buffer.alloc(16, 0xcc);
    });
    const page = offset & ~0xfffn;
    const file = Buffer.alloc(4096);
    readFileSync(sleep).copy(file, 0, Number(page), Number(page) + 4096);
    const patched = Buffer.from(file);
    patched.fill(0xcc, Number(offset - page), Number(offset - page) + 16);
    assert.deepEqual(
      modified(await again(measured, child.pid, neighbour.pid)).map(({ process, object, pages }) => [
        process.pid,
        object.path,
        pages,
      ]),
      [
        [
          child.pid,
          sleep,
          [
            {
              offset: page,
              expected: sha256(file),
              actual: sha256(patched),
              difference: { bytes: 16 - original.filter((byte) => byte === 0xcc).length, breakpoints: true },
            },
          ],
        ],
      ],
    );
    // Put back, the page is still a private one, but holds the file's bytes again.
    writeAtEntry(child.pid, () => original);
    const before = pagesCompared;
    assert.deepEqual(modified(await again(measured, child.pid, neighbour.pid)), []);
    assert.ok(pagesCompared > before);
  });

  test(`${method}: a program that was deleted is measured by what runs`, async (t) => {
    const copy = join(folder(t), "program");
    copyFileSync(sleep, copy);
    appendFileSync(copy, "x");
    const digest = sha256(readFileSync(copy));
    const child = await start(t, copy, ["100"]);
    unlinkSync(copy);
    const [program] = code((await sweeper(t).measure([child.pid])).facts).filter(
      ({ object }) => object.role === "executable",
    );
    assert.equal(program?.object.deleted, true);
    assert.equal(program?.object.path, copy);
    assert.equal(program?.object.sha256, digest);
  });

  test(`${method}: a program at a path longer than any path may be is measured`, async (t) => {
    const top = folder(t);
    const script = `import os, shutil
os.chdir(${JSON.stringify(top)})
for _ in range(30):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
shutil.copy(${JSON.stringify(sleep)}, "program")
os.execv("./program", ["program", "100"])`;
    const child = await start(t, "python3", ["-c", script]);
    for (let tries = 0; tries < 200 && readFileSync(`/proc/${child.pid}/comm`, "utf8") !== "program\n"; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const { facts } = await sweeper(t).measure([child.pid]);
    const program = code(facts).find(({ object }) => object.role === "executable");
    assert.equal(program?.object.path, "[path too long]");
    assert.equal(program?.object.sha256, sha256(readFileSync(sleep)));
    assert.ok(facts.every(({ kind }) => kind === "code"));
  });

  test(`${method}: a program in a memory file and executable anonymous memory are told apart from files`, async (t) => {
    const script = `import os
fd = os.memfd_create("x")
os.write(fd, open(${JSON.stringify(sleep)}, "rb").read())
os.execve(fd, ["sleep", "100"], os.environ)`;
    const memfd = await start(t, "python3", ["-c", script]);
    const compiler = await start(t, process.execPath, ["-e", "setTimeout(() => {}, 100000)"]);
    // Its code is mapped a moment after the kernel calls it the program.
    const runs = () => / r-xp .*\/memfd:/.test(readFileSync(`/proc/${memfd.pid}/maps`, "latin1"));
    for (let tries = 0; tries < 500 && !runs(); tries++) await new Promise((resolve) => setTimeout(resolve, 20));
    const { facts } = await sweeper(t).measure([memfd.pid, compiler.pid]);
    const [program] = code(facts).filter(
      ({ process, object }) => process.pid === memfd.pid && object.role === "executable",
    );
    assert.equal(program?.object.backing, "memfd");
    assert.equal(program?.object.sha256, sha256(readFileSync(sleep)));
    assert.ok(
      code(facts).some(({ process, object }) => process.pid === compiler.pid && object.backing === "anonymous"),
    );
  });

  test(`${method}: a library that is written to in place while it is mapped is measured anew`, async (t) => {
    const library = join(folder(t), "libcopy.so");
    copyFileSync("/lib/x86_64-linux-gnu/libm.so.6", library);
    const child = await start(t, sleep, ["100"], { ...process.env, LD_PRELOAD: library });
    const measured = sweeper(t);
    const first = code((await measured.measure([child.pid])).facts).find(({ object }) => object.path === library);
    assert.equal(first?.object.sha256, sha256(readFileSync(library)));
    appendFileSync(library, "changed");
    const second = code(await again(measured, child.pid)).find(({ object }) => object.path === library);
    assert.equal(second?.object.sha256, sha256(readFileSync(library)));
    assert.notEqual(second?.object.sha256, first?.object.sha256);
  });

  test(`${method}: a process that executes another program is another address space`, async (t) => {
    const shell = spawn("/bin/sh", ["-c", "read line; exec sleep 100"], { stdio: ["pipe", "ignore", "inherit"] });
    t.after(() => shell.kill("SIGKILL"));
    await once(shell, "spawn");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const measured = sweeper(t);
    const before = code((await measured.measure([shell.pid!])).facts).find(
      ({ object }) => object.role === "executable",
    );
    assert.equal(before?.object.path, realpathSync("/bin/sh"));
    shell.stdin.write("\n");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const after = code(await again(measured, shell.pid!)).find(({ object }) => object.role === "executable");
    // Also its labels, although no event told of it.
    assert.equal(after?.process.exe, sleep);
    assert.equal(after?.process.comm, "sleep");
    assert.equal(after?.object.path, sleep);
  });
}

for (const method of ["auto", "fallback"] as const satisfies readonly Method[]) {
  test(`${method}: a child that shares its parent's memory until it executes is not taken for its parent`, async (t) => {
    // posix_spawn shares the address space (CLONE_VM, CLONE_VFORK) until exec; here exec waits until the fifo has a writer.
    const fifo = join(folder(t), "fifo");
    const script = `import os
os.mkfifo(${JSON.stringify(fifo)})
wait = [(os.POSIX_SPAWN_OPEN, 0, ${JSON.stringify(fifo)}, os.O_RDONLY, 0)]
os.posix_spawn(${JSON.stringify(sleep)}, ["sleep", "100"], os.environ, file_actions=wait)
import time
time.sleep(100)`;
    const parent = await start(t, "python3", ["-c", script]);
    const children = () => readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8").trim();
    const isPython = () => readlinkSync(`/proc/${parent.pid}/exe`).includes("python");
    for (let tries = 0; tries < 200 && !(isPython() && existsSync(fifo) && children() !== ""); tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const child = Number(children());
    t.after(() => process.kill(child, "SIGKILL"));
    const measured = sweeperOf(t, method);
    const before = code((await measured.measure([child])).facts).find(({ object }) => object.role === "executable");
    assert.match(String(before?.object.path), /python/);
    writeFileSync(fifo, "");
    for (let tries = 0; tries < 200 && readFileSync(`/proc/${child}/comm`, "utf8") !== "sleep\n"; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const after = code(await again(measured, child)).find(({ object }) => object.role === "executable");
    assert.equal(after?.object.path, sleep);
  });

  test(`${method}: a program that ended before its turn came is judged by its file`, async (t) => {
    const measured = sweeperOf(t, method);
    const copy = join(folder(t), "short");
    copyFileSync(sleep, copy);
    appendFileSync(copy, "y");
    const child = await start(t, copy, ["100"]);
    // Noted at once, measured when it has already gone.
    const measuring = measured.measure([child.pid]);
    child.kill("SIGKILL");
    await once(child, "exit");
    const program = code((await measuring).facts).find(({ object }) => object.role === "executable");
    assert.equal(program?.object.path, copy);
    assert.equal(program?.object.sha256, sha256(readFileSync(copy)));
  });

  test(`${method}: zombies cost no descriptors`, async (t) => {
    const script = `import os, time
for _ in range(50):
    if os.fork() == 0: os._exit(0)
time.sleep(100)`;
    await start(t, "python3", ["-c", script]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const measured = sweeperOf(t, method);
    await measured.sweep();
    const before = readdirSync("/proc/self/fd").length;
    for (let round = 0; round < 3; round++) await measured.sweep();
    assert.ok(readdirSync("/proc/self/fd").length <= before + 5);
  });
}

test("one container's files are hashed up to a budget, and the rest is put off", () => {
  const budget = new HashBudget(100n);
  budget.take(60n);
  assert.throws(() => budget.take(60n), { code: "coverage-incomplete" });
  budget.take(40n);
  const alone = new HashBudget(100n);
  alone.take(1000n);
  assert.throws(() => alone.take(1n), { code: "coverage-incomplete" });
});

test("both methods see the same mappings and findings on this machine's processes", async (t) => {
  const child = await start(t, sleep, ["100"]);
  writeAtEntry(child.pid, () => Buffer.alloc(16, 0xcc));
  const results = [];
  for (const method of ["auto", "fallback"] as const) {
    const measured = new Sweeper({ scope: "all", method });
    t.after(() => measured.close());
    results.push(await measured.measure([child.pid, process.pid]));
  }
  const shape = (facts: readonly Fact[]) =>
    facts.map((fact) =>
      !("object" in fact) ? fact.kind : [fact.kind, fact.process.pid, fact.object.path, fact.object.backing],
    );
  assert.deepEqual(shape(results[0]!.facts), shape(results[1]!.facts));
});

test("a sweep covers what it can and says what it cannot", async (t) => {
  const measured = new Sweeper({ scope: "all" });
  t.after(() => measured.close());
  const { coverage, facts, containers } = await measured.sweep();
  assert.ok(coverage.processes >= 1);
  assert.equal(coverage.unreadable, facts.filter(({ kind }) => kind === "unreadable").length);
  assert.ok([...containers.values()].every(({ id }) => id !== ""));
});
