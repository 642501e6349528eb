import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { askRuntime } from "../src/agent/container-names.ts";
import { containerStart, isFirstProcess } from "../src/agent/container-start.ts";
import type { ReferenceValues } from "../src/attest/judge.ts";
import { judgeStart } from "../src/attest/judge-start.ts";
import { inspectContainer } from "../src/container/docker.ts";
import { type DockerAddress, dockerJson, dockerText } from "../src/container/docker-http.ts";
import type { ContainerInfo } from "../src/container/types.ts";
import { prepareImages } from "../src/demo/images.ts";
import { runTool } from "../src/demo/run-tool.ts";
import { eventSchema } from "../src/log/event.ts";
import type { ContainerStart } from "../src/log/start.ts";
import { capabilityNames } from "../src/process/capabilities.ts";
import { startDockerd } from "./dockerd.ts";
import { temporaryFolder } from "./pims.ts";

const reference: ReferenceValues = {
  hasDigest: () => true,
  hasPath: () => true,
  exposes: () => false,
  mayCompile: () => false,
  mayBeDisplaced: () => false,
  mayPreload: () => false,
  entrypoint: ["/bin/sleep", "1000"],
};

function causes(info: ContainerInfo, start: ContainerStart | undefined): string[] {
  assert.ok(start !== undefined);
  const { runtime, id, name, image } = info;
  const container = { runtime, id, name, image };
  eventSchema.parse({ type: "container-start", time: new Date().toISOString(), container, imageName: null, start });
  return judgeStart(container, start, reference, []).map(({ object }) => String(object.path));
}

type Spec = {
  root: object;
  process: { terminal: boolean; args: string[]; env: string[]; capabilities: Record<string, string[]> };
  mounts: object[];
  linux: { namespaces: { type: string }[]; seccomp?: object };
};

/** A container of plain runc from its own sample configuration, with changes. */
async function runcContainer(t: TestContext, change: (spec: Spec) => void) {
  const { web } = await prepareImages();
  const bundle = temporaryFolder(t);
  await runTool("runc", ["spec", "--bundle", bundle]);
  const spec: Spec = JSON.parse(await readFile(join(bundle, "config.json"), "utf8"));
  spec.root = { path: web.rootfs, readonly: true };
  spec.process.terminal = false;
  spec.process.args = ["/bin/sleep", "1000"];
  change(spec);
  await writeFile(join(bundle, "config.json"), JSON.stringify(spec));
  const id = `pims-start-${randomBytes(3).toString("hex")}`;
  t.after(() => runTool("runc", ["delete", "--force", id]));
  const { status } = spawnSync("runc", ["run", "--detach", "--bundle", bundle, id], {
    stdio: "ignore",
    timeout: 20_000,
  });
  assert.equal(status, 0);
  const { info } = await askRuntime({ runtime: "runc", id });
  return { info, start: containerStart(info, []) };
}

test("runc: as its own sample configuration says, and nothing to complain of", async (t) => {
  const { info, start } = await runcContainer(t, () => {});
  assert.deepEqual(causes(info, start), []);
  assert.deepEqual(start!.kernel!.capabilities, ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]);
  assert.deepEqual(
    start!.kernel!.hostNamespaces.filter((name) => name !== "cgroup"),
    ["user"],
  );
  assert.equal(start!.kernel!.readonlyRoot, true);
  assert.equal(start!.kernel!.user, "0:0");
  assert.equal(start!.runtime!.program, "/bin/sleep");
  assert.ok(isFirstProcess(start!));
  assert.ok(!isFirstProcess({ ...start!, process: { ...start!.process, startTime: "1" } }));
});

test("runc: host namespaces, capabilities, the host's root, a loader variable and another entry point", async (t) => {
  const { info, start } = await runcContainer(t, (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => !["pid", "network"].includes(type));
    for (const set of Object.values(spec.process.capabilities)) set.push("CAP_SYS_ADMIN");
    spec.process.env.push("LD_PRELOAD=/usr/lib/none.so", "SECRET=of-the-test");
    spec.process.args = ["sleep", "1000"];
    spec.mounts = spec.mounts.filter((mount) => !("type" in mount && mount.type === "sysfs"));
    spec.mounts.push({ destination: "/mnt", type: "bind", source: "/", options: ["bind", "rw"] });
  });
  assert.deepEqual(causes(info, start), [
    "[host-namespaces]",
    "[capabilities]",
    "[host-root]",
    "[loader-variables]",
    "[entry-point]",
  ]);
  assert.ok(!JSON.stringify(start).includes("of-the-test"), "the environment is in the log as a digest only");
});

test("runc: every capability and no seccomp filter is privileged, also where no runtime says so", async (t) => {
  const bounding = /^CapBnd:\s*(\S+)$/m.exec(await readFile("/proc/self/status", "utf8"))![1]!;
  const { info, start } = await runcContainer(t, (spec) => {
    for (const name of Object.keys(spec.process.capabilities))
      spec.process.capabilities[name] = capabilityNames(bounding);
  });
  assert.deepEqual(causes(info, start), ["[privileged]"]);
  assert.equal(start!.runtime!.privileged, null);
});

test("the folder with a runtime's socket in it is found by what it is, not by its name", async (t) => {
  const folder = temporaryFolder(t);
  await mkdir(join(folder, "run"));
  const socketPath = join(folder, "run", "engine.sock");
  const server = createServer().listen(socketPath);
  await once(server, "listening");
  t.after(() => server.close());
  process.env.DOCKER_HOST = `unix://${socketPath}`;
  t.after(() => delete process.env.DOCKER_HOST);
  const { info, start } = await runcContainer(t, (spec) => {
    spec.mounts.push({ destination: "/mnt", type: "bind", source: join(folder, "run"), options: ["bind", "ro"] });
  });
  assert.deepEqual(causes(info, start), ["[runtime-socket]"]);
  assert.deepEqual(start!.kernel!.runtimeSockets, [{ source: socketPath, destination: "/mnt/engine.sock", rw: false }]);
});

test("Docker: what the engine says, and what the kernel shows", async (t) => {
  const address = await startDockerd(t);
  await importWeb(address);
  const create = async (body: object) => {
    const path = "/containers/create";
    const answer = await dockerJson(address, { method: "POST", path, body: { Image: "start", ...body } });
    return (answer as { Id: string }).Id;
  };
  const start = async (body: object) => {
    const Id = await create(body);
    await dockerText(address, { method: "POST", path: `/containers/${Id}/start`, timeoutMs: 30_000 });
    const info = await inspectContainer(Id, address);
    const facts = containerStart(info, []);
    return { facts, causes: causes(info, facts) };
  };
  const none = { NetworkMode: "none" };
  const usual = await start({ HostConfig: none, Cmd: ["500"] });
  assert.deepEqual(usual.causes, [], "another command is usual");
  assert.deepEqual(usual.facts!.runtime!.loader, [{ name: "LD_LIBRARY_PATH", value: "/opt/lib", image: true }]);
  assert.equal(usual.facts!.kernel!.seccomp, "filter");
  assert.ok(!usual.facts!.kernel!.mounts.some(({ source }) => source === "/"));

  // Not every machine that tests may give a container all capabilities: what the engine says does not need it to run.
  const privileged = await create({ HostConfig: { ...none, Privileged: true } });
  assert.equal((await inspectContainer(privileged, address)).start?.privileged, true);
  assert.equal(usual.facts!.runtime!.privileged, false);
  assert.deepEqual((await start({ HostConfig: { ...none, CapAdd: ["SYS_PTRACE"] } })).causes, ["[capabilities]"]);

  const shared = { NetworkMode: "host", PidMode: "host", IpcMode: "host" };
  const host = await start({ HostConfig: shared });
  assert.deepEqual(host.causes, ["[host-namespaces]"]);
  assert.deepEqual(
    host.facts!.kernel!.hostNamespaces.filter((name) => ["pid", "net", "ipc"].includes(name)),
    ["pid", "net", "ipc"],
  );

  const Binds = ["/:/host:ro", "/:/rw"];
  assert.deepEqual((await start({ HostConfig: { ...none, Binds } })).causes, ["[host-root]"]);
  assert.deepEqual((await start({ HostConfig: none, Entrypoint: ["sleep"], Cmd: ["9"] })).causes, ["[entry-point]"]);
  assert.deepEqual((await start({ HostConfig: none, Entrypoint: [""], Cmd: ["sleep", "9"] })).causes, [
    "[entry-point]",
  ]);
  const Env = ["LD_LIBRARY_PATH=/tmp", "LD_AUDIT=/tmp/x.so"];
  assert.deepEqual((await start({ HostConfig: none, Env })).causes, ["[loader-variables]"]);
});

async function importWeb(address: DockerAddress): Promise<void> {
  const { web } = await prepareImages();
  const tar = spawn("tar", ["--numeric-owner", "-C", web.rootfs, "-c", "."], { stdio: ["ignore", "pipe", "ignore"] });
  const query = new URLSearchParams({ fromSrc: "-", repo: "start" });
  for (const line of ['ENTRYPOINT ["/bin/sleep"]', 'CMD ["1000"]', "ENV LD_LIBRARY_PATH=/opt/lib"])
    query.append("changes", line);
  await dockerText(address, { method: "POST", path: `/images/create?${query}`, body: tar.stdout, timeoutMs: 60_000 });
}
