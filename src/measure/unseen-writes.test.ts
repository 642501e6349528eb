import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { type TestContext, test } from "node:test";
import { AddressSpace, type Method } from "../process/address-space.ts";
import { parseMaps } from "../process/mapping.ts";
import { programFile, readCodeObject } from "./code-object.ts";
import type { Fact } from "./facts.ts";
import { FileDigests } from "./file-digest.ts";
import { Scrub } from "./scrub.ts";
import { Sweeper } from "./sweep.ts";
import { type MeasuredMapping, meetProcess, releaseProgram, type Watched } from "./watched.ts";

/** Loads a library and says so. */
const VICTIM = `
import ctypes, sys
ctypes.CDLL(sys.argv[1]).cos
print("ready", flush=True)
sys.stdin.read()
`;

/** Has a page of a file mapped shared and writable, and was seen to write to it before. */
const WRITER = `
import mmap, os, sys
path, offset = sys.argv[1], int(sys.argv[2])
with open(path, "r+b") as file:
    window = mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)
while True:
    # Until the kernel writes the page to its disk, further writes change no time.
    window[0] = window[0]
    print("ready", flush=True)
    word = sys.stdin.readline()
    if word == "write\\n":
        before = os.stat(path)
        window[0] ^= 0xff
        if os.stat(path).st_ctime_ns == before.st_ctime_ns:
            print("written", flush=True)
            word = sys.stdin.readline()
        else:
            window[0] ^= 0xff
            print("seen", flush=True)
            continue
    if word == "free\\n":
        window.close()
        print("freed", flush=True)
        sys.stdin.read()
    if word == "":
        break
`;

interface Program {
  readonly pid: number;
  /** Says a word to the program and returns its answer; without a word what it says by itself. */
  ask(word?: string): Promise<string>;
}

async function start(t: TestContext, script: string, ...args: string[]): Promise<Program> {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn("/usr/bin/python3", ["-c", script, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (word?: string) => {
    if (word !== undefined) child.stdin.write(`${word}\n`);
    const { value, done } = await lines.next();
    assert.ok(!done, "the program has ended");
    return value;
  };
  assert.equal(await ask(), "ready");
  return { pid: child.pid!, ask };
}

function copyOfLibrary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-unseen-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const libraries = `/usr/lib/${readdirSync("/usr/lib").find((name) => name.endsWith("-linux-gnu"))}`;
  const path = join(folder, "libm.so.6");
  copyFileSync(join(libraries, "libm.so.6"), path);
  return path;
}

/** A page of the library's code that the process has in memory: its offset in the file. */
function codePage(pid: number, path: string): bigint {
  const mapping = parseMaps(readFileSync(`/proc/${pid}/maps`)).find(({ name }) => name === path);
  assert.ok(mapping);
  const space = AddressSpace.open(pid)!;
  try {
    const found = space.filePages(mapping, mapping.start, 1);
    assert.ok(found !== "gone" && found.pages.length === 1);
    return found.pages[0]! - mapping.start + mapping.offset;
  } finally {
    space.close();
  }
}

async function measure(pid: number, digests: FileDigests, method: Method): Promise<Watched> {
  const watched = meetProcess(pid, null)!;
  releaseProgram(watched);
  const space = AddressSpace.open(pid, method)!;
  try {
    const mappings = space.mappings();
    assert.ok(mappings !== "gone");
    const measured: MeasuredMapping[] = [];
    for (const mapping of mappings) {
      const code = await readCodeObject(space, mapping, programFile(space), digests);
      assert.ok(code !== "gone");
      const { object, file } = code;
      measured.push({ mapping, object, file, mappingKey: `${mapping.device}:${mapping.inode}` });
    }
    return Object.assign(watched, { mappings, measured });
  } finally {
    space.close();
  }
}

/** Writes without a trace: again, when the kernel wrote the page to its disk in between. */
async function writeUnseen(writer: Program): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    if ((await writer.ask("write")) === "written") return;
    assert.equal(await writer.ask(), "ready");
  }
  assert.fail("the kernel noted the time of every write");
}

for (const method of ["auto", "fallback"] as const satisfies readonly Method[]) {
  test(`${method}: a page cache that was changed beside the file's times is found, and which page`, async (t) => {
    const path = copyOfLibrary(t);
    const victim = await start(t, VICTIM, path);
    const offset = codePage(victim.pid, path);
    const writer = await start(t, WRITER, path, String(offset));
    const digests = new FileDigests();
    const watched = await measure(victim.pid, digests, method);
    const scrub = new Scrub(digests, method);
    const cycle = async () => {
      const facts: Fact[] = [];
      let read = 0;
      for (const { cycles } = scrub; scrub.cycles === cycles; )
        read += await scrub.run([watched], 256, () => false, facts);
      return { facts, read };
    };
    const before = await cycle();
    assert.deepEqual(before.facts, []);
    assert.ok(before.read > 100, String(before.read));
    await writeUnseen(writer);
    const { facts } = await cycle();
    assert.deepEqual(
      facts.map((fact) => [fact.kind, fact.process.pid, fact.kind === "page-cache" && fact.object.path]),
      [["page-cache", victim.pid, path]],
    );
    const [fact] = facts;
    assert.ok(fact?.kind === "page-cache");
    assert.deepEqual(
      fact.pages.map((page) => page.offset),
      [offset],
    );
    assert.notEqual(scrub.cycleMs, null);
  });

  test(`${method}: code that another can change unseen is told once, and hashed until all was read again`, async (t) => {
    const path = copyOfLibrary(t);
    const victim = await start(t, VICTIM, path);
    const offset = codePage(victim.pid, path);
    const sweeper = new Sweeper({ scope: "all", method, scrubPages: 1_000_000 });
    t.after(() => sweeper.close());
    const sweep = async () => {
      const { facts } = await sweeper.sweep();
      return facts.filter((fact) => "object" in fact && fact.object.path === path);
    };
    const [code] = await sweep();
    assert.equal(code?.kind, "code");
    const writer = await start(t, WRITER, path, String(offset));
    const told = (await sweep()).filter((fact) => fact.kind === "writable");
    assert.deepEqual(
      told.map(({ process, writer: by }) => [process.pid, by.pid]),
      [[victim.pid, writer.pid]],
    );
    await writeUnseen(writer);
    const changed = await sweep();
    assert.deepEqual(
      changed.map(({ kind }) => kind),
      ["code"],
    );
    assert.notEqual((changed[0] as typeof code & { kind: "code" }).object.sha256, code.object.sha256);
    assert.equal(await writer.ask("free"), "freed");
    const digest = (facts: readonly Fact[]) => facts.map((fact) => fact.kind);
    const rounds: string[][] = [];
    for (let count = 0; count < 5; count++) rounds.push(digest(await sweep()));
    // Measured anew in each sweep, until one whole scrub after the mapping had gone.
    assert.deepEqual(rounds.at(0), ["code"]);
    assert.deepEqual(rounds.at(-1), []);
  });
}
