import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { toHex } from "../core/bytes.ts";
import { createAk } from "./attestation-key.ts";
import { testFolder } from "./fixtures.ts";
import { startSwtpm } from "./swtpm.ts";
import { openTpm } from "./tpm.ts";

const isRunning = (pid: number): boolean => {
  try {
    // A zombie has ended, whoever is to wait for it.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
};

test("started again in its folder it is the same TPM; the folder is closed to others", async (t) => {
  const folder = join(await testFolder(t), "of, its own");
  await mkdir(folder, { mode: 0o755 });
  const names: string[] = [];
  for (let round = 0; round < 2; round++) {
    const swtpm = await startSwtpm({ folder });
    try {
      const tpm = await openTpm(swtpm.address);
      names.push(toHex((await createAk(tpm)).name));
      await tpm.close();
      assert.equal((await stat(folder)).mode & 0o777, 0o700);
    } finally {
      await swtpm.stop();
    }
    assert.ok(!isRunning(swtpm.pid));
    await swtpm.stop();
  }
  assert.equal(names[0], names[1]);
  assert.deepEqual(await readdir(folder), ["state"]);
});

test("a second one in the same folder is refused and the first goes on", async (t) => {
  const folder = await testFolder(t);
  const swtpm = await startSwtpm({ folder });
  t.after(() => swtpm.stop());
  await assert.rejects(startSwtpm({ folder }), { code: "tpm-unreachable", message: /running already/ });
  const tpm = await openTpm(swtpm.address);
  await createAk(tpm);
  await tpm.close();
});

test("it starts over the socket that a killed one left behind", async (t) => {
  const folder = await testFolder(t);
  const killed = await startSwtpm({ folder });
  process.kill(killed.pid, "SIGKILL");
  for (let waited = 0; isRunning(killed.pid) && waited < 5000; waited += 5) await sleep(5);
  assert.ok(existsSync(join(folder, "tpm.sock")));
  const swtpm = await startSwtpm({ folder });
  await swtpm.stop();
});

test("it ends with the program that started it, even when that is killed", async (t) => {
  const folder = await testFolder(t);
  const program = `
    const { startSwtpm } = await import(${JSON.stringify(join(import.meta.dirname, "swtpm.ts"))});
    const swtpm = await startSwtpm({ folder: process.argv[1] });
    console.log(swtpm.pid);
    if (process.argv[2] === "stay") setInterval(() => {}, 1000);
    if (process.argv[2] === "throw") throw new Error("on purpose");`;
  for (const way of ["stay", "throw", "return"]) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program, folder, way], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    t.after(() => child.kill("SIGKILL"));
    const [line] = await once(child.stdout, "data", { signal: AbortSignal.timeout(15_000) });
    const pid = Number(line);
    assert.ok(pid > 1);
    if (way === "stay") {
      assert.ok(isRunning(pid));
      child.kill("SIGKILL");
    }
    for (let waited = 0; isRunning(pid); waited += 10) {
      assert.ok(waited < 5000, `swtpm outlived its parent (${way})`);
      await sleep(10);
    }
  }
});

test("without swtpm the error says what to install", async (t) => {
  const folder = await testFolder(t);
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
  });
  process.env.PATH = folder;
  await assert.rejects(startSwtpm({ folder }), { code: "swtpm-missing", hint: /package swtpm/ });
});

test("what keeps it from starting is told, and nothing is left running", async (t) => {
  const folder = await testFolder(t);
  const refused = (message: RegExp) => ({ code: "tpm-unreachable", message });
  await assert.rejects(startSwtpm({ folder: join(folder, "x".repeat(120)) }), refused(/too long for a unix socket/));
  await writeFile(join(folder, "file"), "");
  await assert.rejects(startSwtpm({ folder: join(folder, "file") }), refused(/cannot be made \((EEXIST|ENOTDIR)\)/));
  await mkdir(join(folder, "broken/state"), { recursive: true });
  await writeFile(join(folder, "broken/state/tpm2-00.permall"), "not a TPM's state");
  await assert.rejects(
    startSwtpm({ folder: join(folder, "broken") }),
    refused(/swtpm (ended at once: \S|was started)/),
  );
});
