import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openDemoRuntime } from "../src/demo/containers.ts";
import { prepareImages } from "../src/demo/images.ts";
import { overwriteEntryPoint, workerOf } from "../src/demo/patch-memory.ts";
import { type Finding, findingSchema } from "../src/log/finding.ts";
import { pims, temporaryFolder } from "./pims.ts";

function scan(...args: string[]): { status: number | null; findings: Finding[]; notes: Finding[] } {
  const { status, stdout } = pims(["scan", "--json", ...args]);
  const report = JSON.parse(stdout);
  assert.equal(report.schema, "pims.scan/v1");
  for (const finding of [...report.findings, ...report.notes]) findingSchema.parse(finding);
  return { status, ...report };
}

test("a code page overwritten in a container is found, with process, file, page and container", async (t) => {
  const images = await prepareImages();
  const folder = temporaryFolder(t);
  const runtime = await openDemoRuntime({ kind: "runc" });
  try {
    const identity = `sha256:${"5a".repeat(32)}`;
    const start = async (name: string) => {
      await mkdir(join(folder, name));
      return runtime.start({ name, image: images.web, identity, volume: join(folder, name) });
    };
    const [patched, clean] = [await start("patched"), await start("clean")];
    const pid = workerOf(patched.ref);
    const { pageOffset } = await overwriteEntryPoint(pid);
    for (const method of ["auto", "fallback"]) {
      const { status, findings } = scan("--method", method);
      assert.equal(status, 2);
      // Other tests may run containers meanwhile.
      const mine = findings.filter(({ container }) => [patched.ref.id, clean.ref.id].includes(container?.id ?? ""));
      assert.equal(mine.length, 1, JSON.stringify(mine));
      const [finding] = mine;
      assert.equal(finding!.reason, "code-modified");
      assert.equal(finding!.pid, pid);
      assert.equal(finding!.object.path, "/usr/local/bin/server");
      assert.deepEqual(finding!.container, {
        runtime: "runc",
        id: patched.ref.id,
        name: patched.ref.id,
        image: identity,
      });
      assert.deepEqual(
        finding!.pages.map(({ offset }) => BigInt(offset)),
        [pageOffset],
      );
    }
    const text = pims(["scan"]);
    assert.equal(text.status, 2);
    assert.match(
      text.stdout,
      new RegExp(`page +offset 0x${pageOffset.toString(16)} expected [0-9a-f]{64} actual [0-9a-f]{64}`),
    );
  } finally {
    await runtime.cleanup();
  }
});

async function running(
  t: TestContext,
  command: string,
  args: string[],
  ready: (pid: number) => boolean,
): Promise<number> {
  const child = spawn(command, args, { stdio: "ignore" });
  t.after(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  await once(child, "spawn");
  for (let tries = 0; tries < 200 && !ready(child.pid!); tries++) await sleep(20);
  return child.pid!;
}

test("with --all the host's processes are swept too; a just-in-time compiler is a note, others are findings", async (t) => {
  const memory = `import mmap, time
m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
time.sleep(100)`;
  const memfd = `import os
fd = os.memfd_create("x")
os.write(fd, open("/bin/sleep", "rb").read())
os.execve(fd, ["sleep", "100"], os.environ)`;
  const mapped = (pid: number) => / rwx/.test(readFileSync(`/proc/${pid}/maps`, "latin1"));
  const anonymous = await running(t, "python3", ["-c", memory], mapped);
  const inMemory = await running(t, "python3", ["-c", memfd], (pid) =>
    readlinkSync(`/proc/${pid}/exe`).startsWith("/memfd:"),
  );
  const compiler = await running(t, process.execPath, ["-e", "setTimeout(() => {}, 100000)"], (pid) =>
    / rwx| r-xp 0+ 00:00 0/.test(readFileSync(`/proc/${pid}/maps`, "latin1")),
  );
  const { status, findings, notes } = scan("--all");
  assert.equal(status, 2);
  const reasonsOf = (list: Finding[], pid: number) => [
    ...new Set(list.filter((finding) => finding.pid === pid).map(({ reason }) => reason)),
  ];
  assert.deepEqual(reasonsOf(findings, anonymous), ["anonymous-code"]);
  assert.deepEqual(reasonsOf(findings, inMemory), ["memfd-executable"]);
  assert.deepEqual(reasonsOf(findings, compiler), []);
  assert.deepEqual(reasonsOf(notes, compiler), ["anonymous-code"]);
  assert.ok(
    findings.filter(({ pid }) => [anonymous, inMemory].includes(pid)).every(({ container }) => container === null),
  );
});
