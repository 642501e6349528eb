import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { startDockerd } from "../../test/dockerd.ts";
import { parseCgroup } from "../container/cgroup.ts";
import { inspectContainer, inspectImage } from "../container/docker.ts";
import { inspectRuncContainer, listRuncContainers } from "../container/runc.ts";
import { type DemoContainer, type DemoRuntime, openDemoRuntime } from "./containers.ts";
import { prepareImages, type RootImage } from "./images.ts";
import { fetchPage } from "./wait-http.ts";

const identity = `sha256:${"a".repeat(64)}`;

async function volume(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-volume-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function start(t: TestContext, runtime: DemoRuntime, image: RootImage, name: string): Promise<DemoContainer> {
  return runtime.start({ name, image, identity, volume: await volume(t) });
}

function cgroupOf(pid: number): ReturnType<typeof parseCgroup> {
  return parseCgroup(readFileSync(`/proc/${pid}/cgroup`, "utf8"));
}

/** Freezes all of a container from outside, without a word to its runtime, as the agent does. */
async function freeze(pid: number): Promise<void> {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  const v1 = lines.find((line) => line.split(":")[1] === "freezer")?.split(":")[2];
  if (v1 !== undefined) return writeFile(join("/sys/fs/cgroup/freezer", v1, "freezer.state"), "FROZEN");
  const v2 = lines.find((line) => line.startsWith("0::"))!.slice(3);
  await writeFile(join("/sys/fs/cgroup", v2, "cgroup.freeze"), "1");
}

/** A process that was just started comes to its program, arguments and environment one after the other. */
async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; !holds(); await sleep(5))
    assert.ok(performance.now() < end, String(holds));
}

/** What is the same with every runtime. */
async function exercise(t: TestContext, runtime: DemoRuntime): Promise<DemoContainer[]> {
  const images = await prepareImages();
  for (const image of [images.web, images.app]) await runtime.provideImage(image);
  const web = await start(t, runtime, images.web, "web");
  const app = await start(t, runtime, images.app, "app");
  assert.match(await fetchPage(web.socketPath), /pims-demo\/web/);
  assert.match(await fetchPage(app.socketPath), /pims-demo\/app/);

  // A further process with an environment of its own.
  const sleeper = await runtime.exec(web, ["/bin/sleep", "60"], { MARK: "seen" });
  assert.deepEqual(cgroupOf(sleeper.pid), web.ref);
  await until(() => readlinkSync(`/proc/${sleeper.pid}/exe`).endsWith("/sleep"));
  await until(() => readFileSync(`/proc/${sleeper.pid}/environ`, "utf8").includes("MARK=seen"));

  // A program that the image lacks, below a folder that it lacks.
  const tmpMode = statSync(`/proc/${sleeper.pid}/root/tmp`).mode;
  await runtime.copyIn(web, images.dropper, "/tmp/.cache/kworker", 0o755);
  const dropped = await runtime.exec(web, ["/tmp/.cache/kworker", "-l", "-p", "4444", "-s", "127.0.0.1"]);
  await until(() => readlinkSync(`/proc/${dropped.pid}/exe`).endsWith("/kworker"));
  assert.equal(statSync(`/proc/${sleeper.pid}/root/tmp`).mode, tmpMode);
  assert.deepEqual(readFileSync(`/proc/${dropped.pid}/exe`), readFileSync(images.dropper));

  // A library that the image lacks, in a program that it has.
  await runtime.copyIn(app, images.injectedLibrary, "/tmp/libinjected.so", 0o644);
  const injected = await runtime.exec(app, ["/bin/sleep", "60"], { LD_PRELOAD: "/tmp/libinjected.so" });
  await until(() => readFileSync(`/proc/${injected.pid}/maps`, "utf8").includes("/tmp/libinjected.so"));
  assert.match(await fetchPage(web.socketPath), /pims-demo\/web/);

  // A frozen container can be removed, the others stay.
  await freeze(dropped.pid);
  await runtime.remove(web);
  for (const gone of [sleeper.pid, dropped.pid]) assert.ok(!existsSync(`/proc/${gone}/exe`));
  assert.match(await fetchPage(app.socketPath), /pims-demo\/app/);
  return [web, app];
}

test("Docker runs the demo's containers and nothing of them is left", async (t) => {
  const docker = await startDockerd(t);
  const runtime = await openDemoRuntime({ docker });
  // Not in an after hook: hooks run in the order in which they were set, and the engine's is the first.
  try {
    assert.equal(runtime.kind, "docker");
    const [, app] = await exercise(t, runtime);
    const info = await inspectContainer(app!.ref.id, docker);
    assert.deepEqual({ runtime: info.runtime, id: info.id }, app!.ref);
    assert.deepEqual(cgroupOf(info.pid!), app!.ref);
    assert.equal(info.image, (await inspectImage(info.imageName!, docker)).id);
    assert.match(info.name, /^pims-demo-[0-9a-f]{8}-app$/);
    await runtime.cleanup();
    assert.ok(!existsSync(`/proc/${info.pid}/exe`));
    await assert.rejects(inspectContainer(info.id, docker), { code: "container-not-found" });
    await assert.rejects(inspectImage(info.imageName!, docker), { code: "image-not-found" });
  } finally {
    await runtime.cleanup();
  }
});

test("runc runs the demo's containers and nothing of them is left", async (t) => {
  const runtime = await openDemoRuntime({ kind: "runc" });
  t.after(() => runtime.cleanup());
  const [web, app] = await exercise(t, runtime);
  const info = await inspectRuncContainer(app!.ref.id);
  assert.equal(info.image, identity);
  assert.equal(info.imageName, "pims-demo/app");
  assert.deepEqual(info.cgroups, [`/runc/${app!.ref.id}`]);
  assert.deepEqual(cgroupOf(info.pid), app!.ref);
  const listed = (await listRuncContainers()).containers.map(({ id }) => id);
  assert.ok(listed.includes(app!.ref.id) && !listed.includes(web!.ref.id));

  // The container turns a folder into a link that leads to the host's.
  const bundle = info.bundle!;
  await symlink(tmpdir(), join(bundle, "rootfs/srv/trap"));
  await assert.rejects(runtime.copyIn(app!, "/bin/true", "/srv/trap/x", 0o755), { code: "bad-path" });
  await assert.rejects(runtime.copyIn(app!, "/bin/true", "/srv/../../x", 0o755), { code: "bad-path" });

  await runtime.cleanup();
  await runtime.cleanup();
  assert.ok(!existsSync(`/proc/${info.pid}/exe`));
  assert.ok(!existsSync(join(bundle, "..")));
  await assert.rejects(inspectRuncContainer(info.id), { code: "container-not-found" });
});

test("a clean-up in the middle of a start leaves nothing, and nothing starts after it", async (t) => {
  const runtime = await openDemoRuntime({ kind: "runc" });
  t.after(() => runtime.cleanup());
  const options = { name: "web", image: (await prepareImages()).web, identity, volume: await volume(t) };
  const starting = runtime.start(options);
  await runtime.cleanup();
  const { ref } = await starting;
  await assert.rejects(inspectRuncContainer(ref.id), { code: "container-not-found" });
  await assert.rejects(runtime.start(options), { code: "demo-ended" });
});

test("an image that cannot be read is not half imported into Docker", async (t) => {
  const docker = await startDockerd(t);
  const runtime = await openDemoRuntime({ docker });
  const missing = { name: "pims-demo/none", rootfs: "/no/such/folder", entrypoint: ["/x"] };
  await assert.rejects(runtime.provideImage(missing), { code: "tool-failed" });
  await runtime.cleanup();
});

test("a container whose program does not start leaves nothing", async (t) => {
  const runtime = await openDemoRuntime({ kind: "runc" });
  t.after(() => runtime.cleanup());
  const { web } = await prepareImages();
  const broken = { ...web, entrypoint: ["/no/such/program"] };
  await assert.rejects(start(t, runtime, broken, "broken"), { code: "runc-failed", message: /no such file/ });
  await runtime.cleanup();
});

test("what a killed run left is removed by the next one, a living run's is not", async (t) => {
  const folder = await volume(t);
  const script = `
    const { openDemoRuntime } = await import(${JSON.stringify(join(import.meta.dirname, "containers.ts"))});
    const { prepareImages } = await import(${JSON.stringify(join(import.meta.dirname, "images.ts"))});
    const runtime = await openDemoRuntime({ kind: "runc" });
    const image = (await prepareImages()).web;
    const { ref } = await runtime.start({ name: "web", image, identity: "", volume: ${JSON.stringify(folder)} });
    process.stdout.write(ref.id, () => process.kill(process.pid, "SIGKILL"));`;
  const living = await openDemoRuntime({ kind: "runc" });
  t.after(() => living.cleanup());
  const { web } = await prepareImages();
  const other = await start(t, living, web, "other");
  const killed = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  const id = await killed.then(
    () => assert.fail("was not killed"),
    (error: { stdout: string }) => error.stdout,
  );
  const { pid, bundle } = await inspectRuncContainer(id);
  assert.ok(existsSync(`/proc/${pid}/exe`));

  const next = await openDemoRuntime({ kind: "runc" });
  await next.cleanup();
  assert.ok(!existsSync(`/proc/${pid}/exe`));
  assert.ok(!existsSync(join(bundle!, "..")));
  assert.match(await fetchPage(other.socketPath), /pims-demo\/web/);
});

test("Docker that does not answer: runc is taken, unless Docker was asked for", async (t) => {
  const docker = { socketPath: join(await volume(t), "none.sock") };
  await assert.rejects(openDemoRuntime({ kind: "docker", docker }), { code: "docker-unreachable" });
  const runtime = await openDemoRuntime({ docker });
  assert.equal(runtime.kind, "runc");
  await runtime.cleanup();
});
