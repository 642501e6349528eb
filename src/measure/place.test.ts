import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type TestContext, test } from "node:test";
import type { Method } from "../process/address-space.ts";
import { Sweeper, type SweepResult } from "./sweep.ts";

const folder = `/usr/lib/${readdirSync("/usr/lib").find((name) => name.endsWith("-linux-gnu"))}`;

/** Loads a library and maps a part of its file once more, to be executed. */
const MAPPER = `
import ctypes, mmap, re, sys
library = sys.argv[1]
ctypes.CDLL(library)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
start, end, offset = next((int(m[1], 16), int(m[2], 16), int(m[3], 16)) for m in (
    re.match("(\\\\w+)-(\\\\w+) r-xp (\\\\w+) .*/" + library + "$", line) for line in open("/proc/self/maps")) if m)
path = next(line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith("/" + library))
length = {"code": end - start, "overlong": end - start + 8192, "data": 4096}[sys.argv[2]]
if sys.argv[2] == "data":
    offset = 0
with open(path, "rb") as file:
    assert libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, file.fileno(), offset)
print("ready", flush=True)
sys.stdin.read()
`;

async function start(t: TestContext, what: string): Promise<number> {
  const child = spawn("/usr/bin/python3", ["-c", MAPPER, "libm.so.6", what], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  await once(child.stdout, "data");
  return child.pid!;
}

for (const method of ["auto", "fallback"] as const satisfies readonly Method[]) {
  const places = async (t: TestContext, what: string) => {
    const pid = await start(t, what);
    const sweeper = new Sweeper({ scope: "all", method });
    t.after(() => sweeper.close());
    const placesIn = async (measuring: Promise<SweepResult>) => {
      const { facts } = await measuring;
      const code = facts.flatMap((fact) =>
        fact.kind === "code" && fact.process.pid === pid && fact.object.path === `${folder}/libm.so.6`
          ? [fact.object]
          : [],
      );
      return code.map(({ place }) => place).sort();
    };
    return [await placesIn(sweeper.measure([pid])), await placesIn(sweeper.sweep())];
  };

  test(`${method}: data of a library that is executed is outside of its code`, async (t) => {
    assert.deepEqual((await places(t, "data"))[0], ["in-segment", "outside-segment"]);
  });

  test(`${method}: code of a library apart from its other parts is displaced`, async (t) => {
    assert.deepEqual((await places(t, "code"))[0], ["displaced", "in-segment"]);
  });

  test(`${method}: a library that seems to be just being loaded is told of when it still is so`, async (t) => {
    assert.deepEqual(await places(t, "overlong"), [["in-segment"], ["in-segment", "outside-segment"]]);
  });
}
