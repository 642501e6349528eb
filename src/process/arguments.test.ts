import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { sha256Hex } from "../core/digest.ts";
import { readArguments } from "./arguments.ts";

async function start(
  t: TestContext,
  argv: string[],
  env: Record<string, string>,
): Promise<ChildProcess & { pid: number }> {
  const child = spawn("perl", ["-e", "sleep 100", ...argv], {
    env: { PATH: process.env.PATH!, ...env },
    stdio: "ignore",
  });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  await once(child, "spawn");
  while (!readFileSync(`/proc/${child.pid}/cmdline`, "latin1").startsWith("perl\0"));
  return child as ChildProcess & { pid: number };
}

test("arguments and variables are read as they are, however many and strange", async (t) => {
  const argv = ["", "1", "ü\n", ...Array.from({ length: 9 }, () => "0".repeat(100_000))];
  const env = {
    LD_PRELOAD: "/tmp/x.so",
    XLD_PRELOAD: "no",
    LD_PRELOADX: "no",
    LD_AUDIT: "",
    LARGE: "x".repeat(120_000),
  };
  const { pid } = await start(t, argv, env);
  const given = await readArguments(pid);
  assert.deepEqual(
    given!.argv.map((word) => Buffer.from(word, "latin1").toString()),
    ["perl", "-e", "sleep 100", ...argv],
  );
  assert.equal(given!.digest, sha256Hex(readFileSync(`/proc/${pid}/cmdline`)));
  assert.deepEqual(given!.variables.LD_PRELOAD, ["/tmp/x.so"]);
  assert.deepEqual(given!.variables.LD_AUDIT, [""]);
  assert.deepEqual(given!.variables.PATH, [process.env.PATH]);
});

test("a process that has gone has none", async (t) => {
  const child = await start(t, [], {});
  child.kill("SIGKILL");
  await once(child, "exit");
  await assert.rejects(readArguments(child.pid), { code: "ENOENT" });
});

test("many at once are all read", async (t) => {
  const { pid } = await start(t, [], {});
  const all = await Promise.all(Array.from({ length: 50 }, () => readArguments(pid)));
  assert.ok(all.every((given) => given!.argv[0] === "perl"));
});
