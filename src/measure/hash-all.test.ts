import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, readSync, realpathSync, writeSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { parseMaps } from "../process/mapping.ts";
import type { Fact } from "./facts.ts";
import { HashAll } from "./hash-all.ts";
import { Sweeper } from "./sweep.ts";

const modified = (facts: readonly Fact[]) =>
  facts.flatMap((fact) =>
    fact.kind === "modified" ? [{ path: fact.object.path, sha256: fact.object.sha256, pages: fact.pages }] : [],
  );

test("hashing all code and a sweep find the same changed page, and nothing before it was changed", async (t) => {
  const child = spawn("/bin/sleep", ["100"], { stdio: "ignore" });
  const sweeper = new Sweeper({ scope: "all" });
  t.after(async () => {
    await sweeper.close();
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  await once(child, "spawn");
  await wait(300);
  const pid = child.pid!;
  const hashAll = new HashAll();
  const first = await hashAll.sweep([pid]);
  assert.deepEqual(modified(first), []);
  assert.ok(first.some(({ kind, process }) => kind === "code" && process.pid === pid));

  const program = realpathSync("/bin/sleep");
  const text = parseMaps(readFileSync(`/proc/${pid}/maps`)).find(({ name }) => name === program);
  assert.ok(text);
  const memory = openSync(`/proc/${pid}/mem`, "r+");
  try {
    // The last byte of the program's code, which nothing executes.
    const byte = Buffer.alloc(1);
    readSync(memory, byte, 0, 1, text.end - 1n);
    byte[0]! ^= 0xff;
    writeSync(memory, byte, 0, 1, Number(text.end - 1n));
  } finally {
    closeSync(memory);
  }
  const found = modified(await hashAll.sweep([pid]));
  assert.deepEqual(
    found.map(({ path, pages }) => [path, pages.map(({ offset }) => offset)]),
    [[program, [text.offset + (text.end - text.start) - 4096n]]],
  );
  assert.deepEqual(modified((await sweeper.measure([pid])).facts), found);
});
