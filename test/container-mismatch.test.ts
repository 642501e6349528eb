import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type DockerAddress, dockerJson, dockerText } from "../src/container/docker-http.ts";
import { prepareImages } from "../src/demo/images.ts";
import { runTool } from "../src/demo/run-tool.ts";
import { openProcConnector } from "../src/kernel/proc-connector.ts";
import type { Fact } from "../src/measure/facts.ts";
import { Sweeper } from "../src/measure/sweep.ts";
import { startDockerd } from "./dockerd.ts";
import { temporaryFolder } from "./pims.ts";

type Mismatch = Extract<Fact, { kind: "mismatch" }>;

/** Sweeps, and looks at every exec, as the agent does. */
async function watching(t: TestContext) {
  const sweeper = new Sweeper({ scope: "containers" });
  const connector = await openProcConnector({
    onExec: (pids) => void sweeper.measure(pids),
    onError: (error) => assert.fail(String(error)),
  });
  t.after(async () => {
    await connector.close();
    await sweeper.close();
  });
  const sweep = async (times: number, id: string): Promise<Mismatch[]> => {
    const found: Mismatch[] = [];
    for (let count = 0; count < times; count++)
      for (const fact of (await sweeper.sweep()).facts)
        if (fact.kind === "mismatch" && fact.process.container?.id === id) found.push(fact);
    return found;
  };
  return { sweep };
}

type Spec = {
  root: object;
  process: { terminal: boolean; args: string[]; capabilities: Record<string, string[]> };
  mounts: object[];
  linux: { namespaces: { type: string }[] };
};

/** A container of plain runc that waits. */
async function runcContainer(t: TestContext, change: (spec: Spec) => void = () => {}) {
  const { web } = await prepareImages();
  const bundle = temporaryFolder(t);
  await runTool("runc", ["spec", "--bundle", bundle]);
  const spec: Spec = JSON.parse(await readFile(join(bundle, "config.json"), "utf8"));
  spec.root = { path: web.rootfs, readonly: true };
  spec.process.terminal = false;
  spec.process.args = ["/bin/sleep", "1000"];
  change(spec);
  await writeFile(join(bundle, "config.json"), JSON.stringify(spec));
  const id = `pims-mismatch-${randomBytes(3).toString("hex")}`;
  t.after(() => runTool("runc", ["delete", "--force", id]));
  const { status } = spawnSync("runc", ["run", "--detach", "--bundle", bundle, id], {
    stdio: "ignore",
    timeout: 20_000,
  });
  assert.equal(status, 0);
  const { pid } = JSON.parse(await runTool("runc", ["state", id])) as { pid: number };
  const exec = (...argv: string[]) => {
    const { status, stderr } = spawnSync("runc", ["exec", id, ...argv], { encoding: "utf8", timeout: 20_000 });
    assert.equal(status, 0, stderr);
  };
  return { id, pid, exec };
}

/** A process of the host; it ends with the test. */
async function start(t: TestContext, command: string, ...args: string[]): Promise<ChildProcess & { pid: number }> {
  const child = spawn(command, args, { stdio: "ignore" });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  await once(child, "spawn");
  return child as ChildProcess & { pid: number };
}

const namespace = (pid: number, name: string) => readlinkSync(`/proc/${pid}/ns/${name}`);

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 15_000; !holds(); await sleep(10))
    if (performance.now() > end) throw new Error(`${what} did not come to be`);
}

test("a process of the host in a container's mount namespace is found, and named with the container", async (t) => {
  const { sweep } = await watching(t);
  const { id, pid, exec } = await runcContainer(t);
  exec("/bin/true");
  assert.deepEqual(await sweep(4, id), []);
  const intruder = await start(t, "nsenter", "-t", String(pid), "-m", "/bin/sleep", "1000");
  await until("the intruder", () => namespace(intruder.pid, "mnt") === namespace(pid, "mnt"));
  await until("its program", () => readlinkSync(`/proc/${intruder.pid}/exe`).endsWith("/sleep"));
  const found = await sweep(3, id);
  assert.equal(found.length, 1, "once, in the second sweep");
  const [{ process, how, namespaces, object }] = found as [Mismatch];
  assert.deepEqual([process.pid, how, namespaces, process.comm], [intruder.pid, "entered", ["mnt"], "sleep"]);
  assert.match(object.sha256!, /^[0-9a-f]{64}$/);
});

test("with the process namespace only, and without an exec that told of it", async (t) => {
  const { sweep } = await watching(t);
  const { id, pid } = await runcContainer(t);
  const code = `
import ctypes, os, sys, time
fd = os.open("/proc/${pid}/ns/mnt", os.O_RDONLY)
time.sleep(0.5)
while not os.path.exists(sys.argv[1]): time.sleep(0.05)
assert ctypes.CDLL(None).setns(fd, 0) == 0
time.sleep(1000)`;
  const child = await start(t, "nsenter", "-t", String(pid), "-p", "sleep", "1000");
  await until("the child", () => childrenOf(child.pid).length === 1);
  const [inside] = childrenOf(child.pid);
  await until("its program", () => readlinkSync(`/proc/${inside}/exe`).endsWith("/sleep"));
  const entered = await sweep(3, id);
  assert.deepEqual(
    entered.map(({ process, how, namespaces }) => [process.pid, how, namespaces]),
    [[inside, "entered", ["pid"]]],
  );
  const folder = temporaryFolder(t);
  const sleeper = await start(t, "python3", "-c", code, join(folder, "go"));
  await until("python", () => readlinkSync(`/proc/${sleeper.pid}/exe`).includes("python"));
  // It is known and in order when it enters; the round over all processes comes to it.
  assert.deepEqual(await sweep(3, id), []);
  await writeFile(join(folder, "go"), "");
  await until("setns", () => namespace(sleeper.pid, "mnt") === namespace(pid, "mnt"));
  const late = await sweep(35, id);
  assert.deepEqual(
    late.map(({ process }) => process.pid),
    [sleeper.pid],
  );
});

test("a process of the container's cgroup in the host's namespaces has left", async (t) => {
  const { sweep } = await watching(t);
  // Ended before the container, whose cgroup could not be removed otherwise; it must be the younger of the two.
  const ended: { pid?: number } = {};
  t.after(() => ended.pid !== undefined && process.kill(ended.pid, "SIGKILL"));
  const { id, pid } = await runcContainer(t);
  const fugitive = await start(t, "sleep", "1000");
  ended.pid = fugitive.pid;
  for (const line of readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n")) {
    const [, controllers, path] = line.split(":") as [string, string, string];
    if (path === "/") continue;
    const folder = controllers === "" ? "unified" : controllers.replace("name=", "");
    await writeFile(join("/sys/fs/cgroup", folder, path, "cgroup.procs"), String(fugitive.pid)).catch(() => {});
  }
  assert.ok(readFileSync(`/proc/${fugitive.pid}/cgroup`, "utf8").includes(id));
  const found = await sweep(3, id);
  assert.deepEqual(
    found.map(({ process, how, namespaces }) => [process.pid, how, namespaces]),
    [[fugitive.pid, "left", ["mnt", "pid"]]],
  );
});

test("what a container makes of its own, and what it shares with the host, is no mismatch", async (t) => {
  const { sweep } = await watching(t);
  const sandbox = await runcContainer(t, (spec) => {
    for (const set of Object.values(spec.process.capabilities)) set.push("CAP_SYS_ADMIN");
    // The image has no such tool.
    spec.mounts.push({ destination: "/usr", type: "bind", source: "/usr", options: ["bind", "ro"] });
    spec.process.args = ["/bin/sh", "-c", "unshare --mount --pid --fork /bin/sleep 1000 & exec /bin/sleep 1000"];
  });
  const shared = await runcContainer(t, (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "pid");
  });
  await until("a namespace below", () => {
    const below = childrenOf(sandbox.pid).flatMap(childrenOf);
    return below.some((pid) => namespace(pid, "mnt") !== namespace(sandbox.pid, "mnt"));
  });
  shared.exec("/bin/true");
  assert.deepEqual(await sweep(4, sandbox.id), []);
  assert.deepEqual(await sweep(4, shared.id), []);
});

test("Docker: exec and health checks all the time, sweeps as fast as they go, and no mismatch", async (t) => {
  const address = await startDockerd(t);
  await importImage(address);
  const { sweep } = await watching(t);
  const path = "/containers/create";
  const Healthcheck = { Test: ["CMD", "/bin/true"], Interval: 1_000_000_000 };
  const body = { Image: "mismatch", Cmd: ["/bin/sleep", "1000"], Healthcheck, HostConfig: { NetworkMode: "none" } };
  const { Id } = (await dockerJson(address, { method: "POST", path, body })) as { Id: string };
  await dockerText(address, { method: "POST", path: `/containers/${Id}/start`, timeoutMs: 30_000 });
  const executing = new AbortController();
  let executed = 0;
  const loop = (async () => {
    while (!executing.signal.aborted) {
      const made = await dockerJson(address, {
        method: "POST",
        path: `/containers/${Id}/exec`,
        body: { Cmd: ["/bin/true"] },
      });
      const exec = (made as { Id: string }).Id;
      await dockerText(address, { method: "POST", path: `/exec/${exec}/start`, body: { Detach: false } });
      executed++;
    }
  })();
  try {
    const found: Mismatch[] = [];
    for (const end = performance.now() + 6000; performance.now() < end; ) found.push(...(await sweep(1, Id)));
    assert.deepEqual(found, []);
  } finally {
    executing.abort();
    await loop;
  }
  assert.ok(executed > 3);
});

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "latin1").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

async function importImage(address: DockerAddress): Promise<void> {
  const { web } = await prepareImages();
  const tar = spawn("tar", ["--numeric-owner", "-C", web.rootfs, "-c", "."], { stdio: ["ignore", "pipe", "ignore"] });
  const query = new URLSearchParams({ fromSrc: "-", repo: "mismatch" });
  await dockerText(address, { method: "POST", path: `/images/create?${query}`, body: tar.stdout, timeoutMs: 60_000 });
}
