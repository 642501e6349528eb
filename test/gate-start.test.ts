import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { listenForStarts, START_SOCKET } from "../src/agent/start-socket.ts";
import { cgroupPaths } from "../src/container/cgroup.ts";
import { prepareImages } from "../src/demo/images.ts";
import { ociSpec } from "../src/demo/oci-spec.ts";
import { removeTree } from "../src/demo/run-folder.ts";
import { runTool } from "../src/demo/run-tool.ts";
import type { Refusal } from "../src/measure/gate/protocol.ts";
import { startDockerd } from "./dockerd.ts";
import { startContainerd, stopDaemon } from "./engine-daemons.ts";
import { GateSite, readIf, until } from "./gate-site.ts";
import { putForeign, runHooked } from "./hooked-runc.ts";

const run = promisify(execFile);
const BIN = join(import.meta.dirname, "../bin");
/** More by a setting: each is one start of a container whose entry point the image does not have. */
const STARTS = Number(process.env.PIMS_GATE_STARTS ?? 5);

/** A folder with the socket of a site's gate. */
async function listen(t: TestContext, mark: (pid: number) => Promise<boolean>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-gs-"));
  const server = await listenForStarts(folder, mark);
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return join(folder, START_SOCKET);
}

for (const root of ["overlay", "plain"] as const)
  test(`runc with the hook, its root ${root}: no foreign entry point on a volume or in the root runs`, async (t) => {
    const site = await GateSite.open(t);
    const socket = await listen(t, (pid) => site.supervisor.mark(pid));
    const hook = { path: join(BIN, "pims-hook"), env: [`PIMS_GATE_SOCKET=${socket}`, "PIMS_GATE=require"] };
    const volume = site.volume("hooked");
    await mkdir(volume);
    await putForeign(site, volume);
    for (let count = 0; count < STARTS; count++) {
      const args = ["/run/web/foreign", "/run/web/ran"];
      const { id, said } = await runHooked(site, t, { name: `bad-${count}`, args, volume, root, hook });
      assert.doesNotMatch(said, /pims/);
      const isIts = ({ container }: Refusal) => container.id === id;
      const { path, late } = await until("its refusal", () => site.refusals.find(isIts) ?? null);
      assert.deepEqual([path, late], ["/run/web/foreign", false]);
      assert.equal(await readIf(join(volume, "ran")), null, "it ran");
    }
    const args = ["/bin/touch", "/run/web/ran"];
    const { said } = await runHooked(site, t, { name: "good", args, volume, root, hook });
    assert.equal(said, "");
    await until("its run", () => readIf(join(volume, "ran")));
    assert.deepEqual(site.gaps, []);
  });

test("Docker with pims-runc: no foreign entry point on a volume runs", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "pims-gs-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const wrapper = join(folder, "runtime");
  const socketFolder = join(folder, "agent");
  await mkdir(socketFolder);
  const settings = `PIMS_GATE_SOCKET=${socketFolder}/${START_SOCKET} PIMS_GATE=require`;
  await writeFile(wrapper, `#!/bin/sh\n${settings} exec ${BIN}/pims-runc "$@"\n`, { mode: 0o755 });
  const runtimes = { pims: { path: wrapper } };
  const site = await GateSite.open(t, "deny", await startDockerd(t, { runtimes, "default-runtime": "pims" }));
  try {
    const volume = site.volume("foreign");
    await mkdir(volume);
    await putForeign(site, volume);
    const entrypoint = ["/run/web/foreign", "/run/web/ran"];
    const image = { ...site.images.web, name: "pims-demo/foreign", entrypoint };
    await site.runtime.provideImage(image);
    const start = (count: number) =>
      site.runtime.start({ name: `bad-${count}`, image, identity: "", volume, ready: async () => {} });

    await assert.rejects(start(0), /not under the gate: no agent answers/);
    const server = await listenForStarts(socketFolder, (pid) => site.supervisor.mark(pid));
    try {
      for (let count = 1; count <= STARTS; count++) {
        const { length } = site.refusals;
        await start(count);
        await until("its refusal", () => (site.refusals.length > length ? true : null));
        assert.equal(await readIf(join(volume, "ran")), null, "it ran");
      }
      const container = await site.start("good");
      assert.deepEqual(await site.run(container, "/bin/ls /srv/www"), ["index.html", "0"]);
      assert.deepEqual(site.gaps, []);
    } finally {
      await server.close();
    }
  } finally {
    await site.runtime.cleanup();
  }
});

test("containerd with pims-runc: no foreign entry point on a volume runs", async (t) => {
  const site = await GateSite.open(t);
  const socket = await listen(t, (pid) => site.supervisor.mark(pid));
  const folder = await mkdtemp(join(tmpdir(), "pims-gs-"));
  const at = (name: string) => join(folder, name);
  const daemon = await startContainerd(folder, at("c.sock"));
  // As Kubernetes' runtime has it, below a folder that this test removes.
  const pod = `/kubepods/besteffort/pod${randomUUID()}`;
  const ctr = (...args: string[]) => runTool("ctr", ["--address", at("c.sock"), "--namespace", "k8s.io", ...args]);
  t.after(async () => {
    try {
      for (const id of site.ours) await ctr("task", "delete", "--force", id).catch(() => {});
      // runc removes each container's, and nobody the folders above.
      const above = [pod, dirname(pod), dirname(dirname(pod))].map((path) => `"$at${path}"`).join(" ");
      await run("sh", ["-c", `for at in /sys/fs/cgroup /sys/fs/cgroup/*; do rmdir ${above} 2>/dev/null || :; done`]);
    } finally {
      await stopDaemon(daemon);
      await removeTree(folder);
    }
  });
  await until("containerd", () =>
    ctr("version").then(
      () => true,
      () => null,
    ),
  );
  const wrapper = at("runtime");
  const settings = `PIMS_GATE_SOCKET=${socket} PIMS_GATE=require`;
  await writeFile(wrapper, `#!/bin/sh\n${settings} exec ${BIN}/pims-runc "$@"\n`, { mode: 0o755 });
  const volume = site.volume("foreign");
  await mkdir(volume);
  await putForeign(site, volume);
  const rootfs = at("rootfs");
  await run("cp", ["-a", site.images.web.rootfs, rootfs]);
  const start = async (...command: string[]) => {
    const id = randomBytes(32).toString("hex");
    site.ours.add(id);
    const place = ["--cgroup", `${pod}/${id}`, "--runc-binary", wrapper];
    const mount = `type=bind,src=${volume},dst=/run/web,options=rbind:rw`;
    await ctr("run", "--detach", "--null-io", "--rootfs", ...place, "--mount", mount, rootfs, id, ...command);
    return id;
  };
  for (let count = 0; count < STARTS; count++) {
    const { length } = site.refusals;
    await start("/run/web/foreign", "/run/web/ran").catch(() => {});
    const { path, container, late } = await until("its refusal", () => site.refusals[length] ?? null);
    assert.deepEqual([path, container.runtime, late], ["/run/web/foreign", "containerd", false]);
    assert.equal(await readIf(join(volume, "ran")), null, "it ran");
  }
  await start("/bin/touch", "/run/web/ran");
  await until("its run", () => readIf(join(volume, "ran")));
  assert.deepEqual(site.gaps, []);
});

test("what pims-runc has created and may not start it removes, also below another root", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "pims-gs-"));
  const root = join(folder, "root");
  t.after(async () => {
    await run("runc", ["--root", root, "delete", "--force", "x"]).catch(() => {});
    await rm(folder, { recursive: true, force: true });
  });
  // Mount points that it makes are its own.
  const { web } = await prepareImages();
  const rootfs = join(folder, "rootfs");
  await run("cp", ["-a", web.rootfs, rootfs]);
  const id = `pims-gs-${process.pid}`;
  const spec = ociSpec({ id, args: ["/bin/true"], rootfs, volume: folder, annotations: {} });
  await writeFile(join(folder, "config.json"), JSON.stringify(spec));
  const settings = `PIMS_GATE_SOCKET=${folder}/nobody PIMS_GATE=require`;
  const create = `${settings} ${BIN}/pims-runc --root ${root} create --bundle ${folder} --pid-file ${folder}/pid x`;
  await assert.rejects(run("sh", ["-c", `${create} </dev/null >${folder}/out 2>&1`]));
  assert.match(await readFile(join(folder, "out"), "utf8"), /no agent answers/);
  assert.equal((await run("runc", ["--root", root, "list", "--quiet"])).stdout, "");
});

test("without an agent, or with one that hangs, a container starts unless the gate is required", async (t) => {
  const state = async (input: string, settings: Record<string, string>) => {
    const env = { PATH: process.env.PATH!, ...settings };
    const child = run(join(BIN, "pims-hook"), [], { env });
    child.child.stdin!.end(input);
    return child.then(
      ({ stderr }) => ({ code: 0, stderr }),
      (error: { code: number; stderr: string }) => error,
    );
  };
  const pid = JSON.stringify({ ociVersion: "1.0.2", id: "x", status: "creating", pid: process.pid, bundle: "/x" });
  const nobody = { PIMS_GATE_SOCKET: join(tmpdir(), "pims-gs-nobody") };
  assert.deepEqual((await state(pid, nobody)).code, 0);
  const required = await state(pid, { ...nobody, PIMS_GATE: "require" });
  assert.equal(required.code, 1);
  assert.match(required.stderr, /^pims: the container's mounts are not under the gate: no agent answers at \S+\n$/);
  // Nothing could wait for the gate: the wrapper starts nothing, and all else is runc's.
  const wrapped = (...args: string[]) =>
    run(join(BIN, "pims-runc"), args, { env: { PATH: process.env.PATH!, PIMS_GATE: "require", PIMS_RUNC: "true" } });
  for (const args of [
    ["run", "x"],
    ["create", "x"],
    ["--log", "/x", "restore", "x"],
  ])
    await assert.rejects(wrapped(...args), /not under the gate: only 'create'/);
  for (const args of [["state", "x"], ["exec", "x", "run"], ["--version"]]) await wrapped(...args);
  for (const input of ["", "garbage", "{}", '{"pid":"x"}', '{"pid":-1}', "[".repeat(100_000)])
    assert.match((await state(input, { ...nobody, PIMS_GATE: "require" })).stderr, /names no process\n$/);

  const silent = await listen(t, () => new Promise(() => {}));
  const late = await state(pid, { PIMS_GATE_SOCKET: silent, PIMS_GATE: "require" });
  assert.deepEqual([late.code, /did not answer within 2 s/.test(late.stderr)], [1, true]);
});

test("garbage on the socket is answered or cut off, and a process of the host's is not marked", async (t) => {
  const site = await GateSite.open(t);
  const socket = await listen(t, (pid) => site.supervisor.mark(pid));
  const ask = (bytes: string): Promise<string> =>
    new Promise((resolve) => {
      let said = "";
      const client = connect(socket, () => client.write(bytes));
      client.on("data", (data) => {
        said += data.toString();
      });
      client.on("error", () => {});
      client.on("close", () => resolve(said));
    });
  for (const bytes of [
    "x\n",
    "-1\n",
    "0\n",
    "99999999999\n",
    "\n",
    "1".repeat(100_000),
    `${process.pid}\n`,
    "4194303\n",
  ])
    assert.ok(["unmarked\n", ""].includes(await ask(bytes)), bytes.slice(0, 20));
  const container = await site.start("one");
  const { pid } = await site.runtime.exec(container, ["/bin/sleep", "60"]);
  assert.equal(await ask(`${pid}\n`), "marked\n");
  // Of the container by its cgroup, but among the host's mounts: nothing was marked for it.
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8");
  const paths = [...new Set(cgroupPaths(groups))].filter((path) => path !== "/");
  const stray = spawn("sleep", ["60"], { stdio: "ignore" });
  try {
    // In either version's place.
    const join = `for at in /sys/fs/cgroup"$2" /sys/fs/cgroup/*"$2"; do [ ! -d "$at" ] || echo "$1" >"$at/cgroup.procs"; done`;
    for (const path of paths) await run("sh", ["-c", join, "sh", String(stray.pid), path]);
    const now = cgroupPaths(await readFile(`/proc/${stray.pid}/cgroup`, "utf8"));
    assert.ok(paths.length > 0 && paths.every((path) => now.includes(path)));
    assert.equal(await ask(`${stray.pid}\n`), "unmarked\n");
  } finally {
    const exited = once(stray, "exit");
    stray.kill("SIGKILL");
    await exited;
  }
  assert.equal(Number(await readFile(`/proc/${pid}/stat`, "utf8").then((text) => text.split(" ")[0])), pid);
});
