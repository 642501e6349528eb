import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync, realpathSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ScanReport } from "../src/agent/scan.ts";
import { buildFromFolder } from "../src/baseline/build.ts";
import { openDemoRuntime } from "../src/demo/containers.ts";
import { prepareImages } from "../src/demo/images.ts";
import { overwriteEntryPoint, workerOf } from "../src/demo/patch-memory.ts";
import { type Finding, findingSchema } from "../src/log/finding.ts";
import { pims, temporaryFolder } from "./pims.ts";

function scan(...args: string[]): ScanReport & { status: number | null } {
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
  const reasonsOf = (list: readonly Finding[], pid: number) =>
    list.filter((finding) => finding.pid === pid).map(({ reason }) => reason);
  assert.deepEqual(reasonsOf(findings, anonymous), ["anonymous-code"]);
  assert.deepEqual(reasonsOf(findings, inMemory), ["memfd-executable"]);
  assert.deepEqual(reasonsOf(findings, compiler), []);
  assert.deepEqual(reasonsOf(notes, compiler), ["anonymous-code"]);
  assert.ok(
    findings.filter(({ pid }) => [anonymous, inMemory].includes(pid)).every(({ container }) => container === null),
  );
});

test("with runc the read-only folder below an overlay is the baseline", async (t) => {
  const images = await prepareImages();
  const folder = temporaryFolder(t);
  const { header } = await buildFromFolder({ root: images.web.rootfs, name: "web" });
  const runtime = await openDemoRuntime({ kind: "runc" });
  try {
    const start = async (name: string) => {
      await mkdir(join(folder, name));
      return runtime.start({
        name,
        image: images.web,
        identity: `sha256:${"5a".repeat(32)}`,
        volume: join(folder, name),
      });
    };
    const [dropped, clean] = [await start("dropped"), await start("clean")];
    await runtime.copyIn(dropped, images.dropper, "/tmp/.cache/kworker", 0o755);
    const { pid } = await runtime.exec(dropped, ["/tmp/.cache/kworker", "-l", "-p", "7777", "-s", "127.0.0.1"]);
    for (let tries = 0; tries < 200 && !readlinkSync(`/proc/${pid}/exe`).endsWith("kworker"); tries++) await sleep(20);
    const { status, containers, findings } = scan();
    assert.equal(status, 2);
    const of = (id: string) => containers.find(({ container }) => container.id === id)!;
    for (const { ref } of [dropped, clean]) {
      assert.equal(of(ref.id).notJudged, null);
      const { from, identity, cached } = of(ref.id).baseline!;
      assert.deepEqual({ from, identity, cached }, { from: "lower-folder", identity: header.identity, cached: false });
    }
    assert.equal(of(clean.ref.id).findings, 0);
    const mine = findings.filter(({ container }) => container?.id === dropped.ref.id);
    assert.deepEqual(
      mine.map((finding) => [finding.reason, finding.pid, finding.object.path]),
      [["unknown-executable", pid, "/tmp/.cache/kworker"]],
    );
  } finally {
    await runtime.cleanup();
  }
});

test("where no container runs the scan says what was not looked at", () => {
  // In a pid namespace of its own nothing else is seen.
  const { status, stdout } = pims(["scan"], { wrapper: ["unshare", "--pid", "--fork", "--mount-proc"] });
  assert.equal(status, 0);
  assert.match(stdout, /^no container runs here, so nothing was looked at; 'pims scan --all' .*\n$/);
});

test("what was found in several processes of a program is said once to a person", async (t) => {
  const start = () =>
    running(t, process.execPath, ["-e", "setTimeout(() => {}, 100000)"], (pid) =>
      / rwx| r-xp 0+ 00:00 0/.test(readFileSync(`/proc/${pid}/maps`, "latin1")),
    );
  const pids = [await start(), await start()];
  const { stdout } = pims(["scan", "--all"]);
  const notes = stdout
    .split("\n")
    .filter((line) => line.startsWith(`note: ${realpathSync(process.execPath)} makes code`));
  assert.equal(notes.length, 1, stdout);
  const listed = scan("--all").notes.filter(({ pid }) => pids.includes(pid));
  assert.deepEqual(listed.map(({ pid }) => pid).toSorted(), pids.toSorted());
});
