// An operator's orders, from the command to a real container and back through the proved log.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { AgentSite } from "../src/agent/testing-run.ts";
import { dockerJson } from "../src/container/docker-http.ts";
import { type DemoContainer, type DemoRuntime, openDemoRuntime } from "../src/demo/containers.ts";
import { prepareImages } from "../src/demo/images.ts";
import { processesOf } from "../src/demo/patch-memory.ts";
import { fetchPage } from "../src/demo/wait-http.ts";
import type { ActionEvent } from "../src/log/event.ts";
import { readLog } from "../src/log/read-log.ts";
import { parseRecord } from "../src/log/record.ts";
import { act } from "../src/respond/act.ts";
import { startDockerd } from "./dockerd.ts";
import { pimsMeanwhile } from "./pims.ts";

interface Bench {
  readonly site: AgentSite;
  readonly runtime: DemoRuntime;
  start(name: string): Promise<DemoContainer>;
}

async function bench(t: TestContext): Promise<Bench> {
  const images = await prepareImages();
  const site = await AgentSite.open(t);
  const runtime = await openDemoRuntime({ kind: "runc" });
  t.after(() => runtime.cleanup());
  const start = async (name: string) => {
    await runtime.provideImage(images.web);
    const volume = join(site.folder, `web-${name}`);
    await mkdir(volume);
    return runtime.start({ name, image: images.web, identity: `sha256:${"0".repeat(64)}`, volume });
  };
  return { site, runtime, start };
}

const known = (site: AgentSite, container: DemoContainer) =>
  site.until("the container known", ({ containers }) =>
    containers.some((one) => one.container.id === container.ref.id && one.stoppedAt === null),
  );

async function contain(site: AgentSite, ...words: string[]) {
  const more = ["--reason", "it looks odd", "--by", "ann", "--json"];
  const { status, stdout, stderr } = await pimsMeanwhile(["contain", ...words, ...more, ...site.operator]);
  return { status, stderr, said: stdout === "" ? null : JSON.parse(stdout) };
}

async function actions(site: AgentSite, container: DemoContainer): Promise<ActionEvent[]> {
  const { lines } = await readLog(join(site.folder, "agent", "log", "measurements.jsonl"));
  return lines
    .flatMap((line, index) => parseRecord(line, index).events)
    .filter((event) => event.type === "action")
    .filter((event) => event.container.id === container.ref.id);
}

/** Its processes stay for a while, until somebody has waited for them. */
async function ended({ ref }: DemoContainer): Promise<void> {
  for (let tries = 0; tries < 200 && processesOf(ref).length > 0; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(processesOf(ref), []);
}

const answers = (container: DemoContainer) =>
  fetchPage(container.socketPath, 1000).then(
    () => true,
    () => false,
  );

test("pause, resume and kill, each done once and proved; the agent's word stands in the log", async (t) => {
  const { site, start } = await bench(t);
  const [container, bystander] = [await start("one"), await start("two")];
  let agent = site.startAgent();
  await known(site, container);
  await known(site, bystander);

  const paused = await contain(site, "pause", container.ref.id);
  assert.equal(paused.status, 0, paused.stderr);
  assert.deepEqual([paused.said.ended.outcome, paused.said.ended.text], ["done", "paused by runc"]);
  assert.deepEqual([await answers(container), await answers(bystander)], [false, true]);
  const event = (await actions(site, container))[0]!;
  assert.deepEqual(event.order, { id: paused.said.id, by: "ann", reason: "it looks odd" });

  // By the beginning of its id, on this host; an agent that was started again takes orders again.
  await agent.stop();
  agent = site.startAgent();
  const resumed = await contain(site, "resume", container.ref.id, "--host", "host-1");
  assert.equal(resumed.status, 0, resumed.stderr);
  assert.equal(await answers(container), true);
  const again = await contain(site, "resume", container.ref.id);
  assert.deepEqual([again.status, again.said.ended.outcome], [0, "done"], "what is so already is as good as done");

  const pids = processesOf(container.ref);
  const killed = await contain(site, "kill", container.ref.id);
  assert.equal(killed.status, 0, killed.stderr);
  await site.until("its end", ({ containers }) =>
    containers.some(({ container: { id }, stoppedAt }) => id === container.ref.id && stoppedAt !== null),
  );
  assert.ok(pids.length > 0);
  await ended(container);
  const done = (await actions(site, container)).map(({ action, outcome }) => `${action} ${outcome}`);
  assert.deepEqual(done, ["pause done", "resume done", "resume done", "kill done"]);
  assert.deepEqual([await answers(bystander), (await actions(site, bystander)).length], [true, 0]);

  const gone = await contain(site, "kill", container.ref.id);
  assert.deepEqual([gone.status, /no living container/.test(gone.stderr)], [1, true]);
  // With nobody there to fetch it, it is withdrawn, and not carried out later.
  await agent.stop();
  const unheard = await contain(site, "kill", bystander.ref.id, "--timeout", "1");
  assert.deepEqual([unheard.status, unheard.said.fetched], [1, false]);
  site.startAgent();
  await site.until("evidence", ({ evidence }) => evidence === "good");
  assert.equal(await answers(bystander), true);
});

test("an agent takes orders by the key that it was given first, and by the policy of its host", async (t) => {
  const { site, start } = await bench(t);
  const container = await start("one");
  const agent = site.startAgent({ policy: { orders: ["resume"] } });
  await known(site, container);
  const refused = await contain(site, "kill", container.ref.id);
  assert.deepEqual([refused.status, refused.said.ended.outcome], [1, "refused"]);
  assert.match(refused.said.ended.text, /policy\.orders/);
  await agent.stop();

  // Another key for orders at the same verifier: whoever took its place over the network, or lost the file.
  await site.restartVerifier(() => rm(join(site.folder, "verifier", "orders-key.pem")));
  site.startAgent();
  await site.until("evidence", ({ evidence }) => evidence === "good");
  const forged = await contain(site, "kill", container.ref.id, "--timeout", "3");
  assert.deepEqual([forged.status, forged.said.fetched, forged.said.ended], [3, true, null]);
  assert.equal(await answers(container), true);
  assert.deepEqual(
    (await actions(site, container)).map(({ outcome }) => outcome),
    ["refused"],
  );
});

test("Docker is asked, and knows of it", async (t) => {
  const images = await prepareImages();
  const docker = await startDockerd(t);
  const folder = await mkdtemp(join(tmpdir(), "pims-contain-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const runtime = await openDemoRuntime({ kind: "docker", docker });
  const before = process.env.DOCKER_HOST;
  process.env.DOCKER_HOST = `unix://${docker.socketPath}`;
  try {
    await runtime.provideImage(images.web);
    const identity = `sha256:${"0".repeat(64)}`;
    const container = await runtime.start({ name: "one", image: images.web, identity, volume: folder });
    const state = async () => {
      const path = `/containers/${container.ref.id}/json`;
      return ((await dockerJson(docker, { method: "GET", path })) as { State: { Status: string } }).State.Status;
    };
    assert.equal(await act("pause", container.ref), "paused by Docker");
    assert.deepEqual([await state(), await answers(container)], ["paused", false]);
    assert.equal(await act("resume", container.ref), "resumed by Docker");
    assert.deepEqual([await state(), await answers(container)], ["running", true]);
    // One that stands still is ended as well.
    await act("pause", container.ref);
    assert.match(await act("kill", container.ref), /^killed/);
    await ended(container);
    for (let tries = 0; tries < 100 && (await state()) !== "exited"; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await state(), "exited");
    await assert.rejects(act("kill", container.ref), { code: "action-failed" });
  } finally {
    await runtime.cleanup();
    if (before === undefined) delete process.env.DOCKER_HOST;
    else process.env.DOCKER_HOST = before;
  }
});

test("without the runtime's help the kernel does it, to the whole container", async (t) => {
  const { start, runtime } = await bench(t);
  const container = await start("one");
  await runtime.exec(container, ["/bin/sh", "-c", "while :; do /bin/sleep 0.01; done"]);
  const pids = processesOf(container.ref);
  // Of this name no runtime is asked.
  const ref = { runtime: "podman" as const, id: container.ref.id };
  assert.match(await act("pause", ref, pids), /^paused through \/sys\/fs\/cgroup\/.*podman is not asked/);
  assert.equal(await answers(container), false);
  assert.match(await act("resume", ref, pids), /^resumed through/);
  assert.equal(await answers(container), true);
  await act("pause", ref, pids);
  assert.match(await act("kill", ref, pids), /^killed through/);
  await ended(container);
  await assert.rejects(act("kill", ref, pids), { code: "action-failed", message: /no cgroup of it was found/ });
});
