import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { Sweeper } from "./sweep.ts";

/** Writes to code of a library that it does not use, then splits the mapping and joins it again for ever. */
const FLAPPING = `import ctypes
libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
ctypes.CDLL("libm.so.6")
lines = [line for line in open("/proc/self/maps") if "r-xp" in line and "/libm" in line]
start, end = (int(part, 16) for part in lines[0].split()[0].split("-"))
start += (end - start) // 8192 * 4096
libc.mprotect(start, 8192, 7)
ctypes.memset(start, 0x90, 16)
ctypes.memset(start + 4096, 0x90, 16)
print("ready", flush=True)
while True:
    libc.mprotect(start + 4096, 4096, 5)
    libc.mprotect(start + 4096, 4096, 7)`;

const TOO_FAST = "its executable mappings change faster than they can be read";

for (const method of ["auto", "fallback"] as const)
  test(`${method}: a mapping that is split while it is measured is tried again, and hides nothing for ever`, async (t) => {
    const child = spawn("python3", ["-c", FLAPPING], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(async () => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    });
    await once(child.stdout, "data");
    const sweeper = new Sweeper({ scope: "all", method });
    t.after(() => sweeper.close());
    let unseen = 0;
    let longest = 0;
    const texts = new Set<string>();
    for (let count = 0; count < 30; count++) {
      const facts = (await sweeper.sweep()).facts.filter(({ process }) => process.pid === child.pid);
      for (const fact of facts) if (fact.kind === "unreadable") texts.add(fact.text);
      unseen = facts.some(({ kind }) => kind !== "code") ? 0 : unseen + 1;
      longest = Math.max(longest, unseen);
    }
    texts.delete(TOO_FAST);
    assert.deepEqual([...texts], []);
    assert.ok(longest <= 2, `${longest} sweeps in a row saw neither the written page nor that something hid it`);
  });
