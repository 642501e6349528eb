// Whatever digest a real engine has for a container's image, it leads to the identity that the baseline is kept under.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ContainerNames } from "../src/agent/container-names.ts";
import { packLayout, sampleLayout } from "../src/baseline/sample-oci.ts";
import { sampleTar } from "../src/baseline/sample-tar.ts";
import { inspectContainerdContainer } from "../src/container/containerd.ts";
import { dockerJson, dockerText } from "../src/container/docker-http.ts";
import { readIdentity, requireLayers } from "../src/container/docker-image.ts";
import { orUnresolved } from "../src/container/image-identity.ts";
import { sampleElf } from "../src/measure/sample-elf.ts";
import { startDockerd } from "./dockerd.ts";
import { lastLines, startContainerd, stopDaemon } from "./engine-daemons.ts";
import { temporaryFolder } from "./pims.ts";

const NAME = "docker.io/sample/web:1";
const layers = (text: string) => [
  sampleTar([{ name: "server", content: sampleElf({ type: 2 }), mode: 0o755 }]),
  sampleTar([{ name: "text", content: text }]),
];
const layout = (text: string) => sampleLayout([{ layers: layers(text) }], { name: NAME, nested: true });
const { files, identities, manifests, index } = layout("one");
const [identity] = identities as [string];
const id = "ab".repeat(32);

function setEnv(t: TestContext, values: Record<string, string>): void {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name];
    process.env[name] = value;
    t.after(() => {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    });
  }
}

test("containerd: a container's image by its name, only as long as it stands on that image's layers", async (t) => {
  const folder = temporaryFolder(t);
  const socket = join(folder, "c.sock");
  const containerd = await startContainerd(folder, socket);
  try {
    setEnv(t, { CONTAINERD_ADDRESS: socket });
    const ctr = (...args: string[]): string =>
      execFileSync("ctr", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    for (const deadline = performance.now() + 30_000; ; await sleep(100))
      try {
        ctr("version");
        break;
      } catch (error) {
        if (performance.now() > deadline) throw new Error(await lastLines(folder, ["containerd"]), { cause: error });
      }
    const importInto = (
      namespace: string,
      { files }: { files: ReadonlyMap<string, Buffer> },
      options: string[] = [],
    ): void => {
      const archive = join(folder, "oci.tar");
      writeFileSync(archive, packLayout(files));
      ctr("--namespace", namespace, "images", "import", ...options, "--snapshotter", "native", archive);
    };
    importInto("k8s.io", { files });
    const label = ["--label", "io.kubernetes.container.name=web"];
    const create = ["containers", "create", "--snapshotter", "native", ...label, NAME, id, "/server"];
    ctr("--namespace", "k8s.io", ...create);
    const found = await inspectContainerdContainer(id);
    assert.deepEqual([found.name, found.image, found.imageName], ["web", identity, NAME]);
    const said: string[] = [];
    const names = new ContainerNames((text) => said.push(text));
    assert.equal((await names.name({ runtime: "containerd", id })).image, identity);

    // The name is given to another image: the container's is another one than it leads to.
    importInto("k8s.io", layout("two"));
    const moved = await inspectContainerdContainer(id);
    assert.equal(moved.image, null);
    assert.match(moved.unresolved!, /docker\.io\/sample\/web:1 .* does not stand on the layers .*pims baseline build/);
    for (let count = 0; count < 3; count++)
      assert.equal((await names.ask({ runtime: "containerd", id })).problem, null);
    assert.equal(said.length, 1, "said once");

    const none = await inspectContainerdContainer("cd".repeat(32));
    assert.match(none.unresolved!, /no containerd of this machine has the container cdcd/);

    // Where a Docker Engine with images in containerd has them.
    importInto("moby", { files });
    for (const digest of [index!, manifests[0]!.digest, identity]) {
      const found = await readIdentity(digest);
      assert.equal(found.identity, identity);
      requireLayers(digest, found, found.diffIds);
      requireLayers(digest, found, null);
      assert.throws(() => requireLayers(digest, found, found.diffIds.toReversed()), { code: "image-unresolved" });
    }
    // containerd takes the first of them, whose architecture has another name there.
    const architecture = process.arch === "x64" ? ["x86_64", "amd64"] : ["aarch64", "arm64"];
    const images = architecture.map((name) => ({
      layers: layers(name),
      platform: { os: "linux", architecture: name },
    }));
    const twice = sampleLayout(images, { name: NAME, nested: true });
    for (const namespace of ["k8s.io", "moby"]) importInto(namespace, twice, ["--all-platforms"]);
    ctr("--namespace", "k8s.io", ...create.with(-2, "ef".repeat(32)));
    assert.match((await inspectContainerdContainer("ef".repeat(32))).unresolved!, /several images for this machine/);
    await assert.rejects(readIdentity(twice.index!), { code: "image-unresolved", message: /several images/ });
    await assert.rejects(readIdentity(`sha256:${"0".repeat(64)}`), {
      code: "image-unresolved",
      message: /which image sha256:0{64} is cannot be told: its content .* is not there/,
    });
  } finally {
    await stopDaemon(containerd);
  }
});

test("a containerd that is silent is a problem to be asked about again, and no image that cannot be told", async (t) => {
  const folder = temporaryFolder(t);
  const socket = join(folder, "c.sock");
  const open: Socket[] = [];
  const server = createServer((peer) => void open.push(peer.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.after(() => {
    for (const peer of open) peer.destroy();
    server.close();
  });
  setEnv(t, { CONTAINERD_ADDRESS: socket });
  await assert.rejects(
    orUnresolved(async () => (await readIdentity(identity)).identity),
    { code: /^containerd-(silent|failed)$/ },
  );
  setEnv(t, { CONTAINERD_ADDRESS: join(folder, "nowhere") });
  assert.match(
    (await orUnresolved(async () => (await readIdentity(identity)).identity)).unresolved!,
    /no containerd is on this machine/,
  );
});

test("Podman: a container's image by what is kept on disk, with the digest that names it", async (t) => {
  const folder = temporaryFolder(t);
  const graph = join(folder, "graph");
  const conf = join(folder, "storage.conf");
  writeFileSync(conf, `[storage]\ndriver = "vfs"\ngraphroot = "${graph}"\nrunroot = "${join(folder, "run")}"\n`);
  setEnv(t, { CONTAINERS_STORAGE_CONF: conf });
  const podman = (...args: string[]): string =>
    execFileSync("podman", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  const archive = join(folder, "oci.tar");
  writeFileSync(archive, packLayout(files));
  podman("load", "--quiet", "--input", archive);
  const made = podman("create", "--name", "one", "--network", "none", "sample/web:1", "/server");
  const names = new ContainerNames(() => {});
  const ref = { runtime: "podman", id: made } as const;
  const found = await names.name(ref);
  assert.deepEqual([found.name, found.image, found.imageName], ["one", identity, NAME]);
  assert.match((await names.name({ ...ref, id })).unresolved!, /there is no container abab.* below /);

  const image = join(graph, "vfs-images", identity.slice(7));
  for (const name of readdirSync(image).filter((one) => one.startsWith("="))) writeFileSync(join(image, name), "{}");
  const altered = await new ContainerNames(() => {}).name(ref);
  assert.equal(altered.image, null);
  assert.match(altered.unresolved!, new RegExp(`which image ${identity} is cannot be told: .* another digest`));
});

test("Docker that keeps images itself names them by their configuration", async (t) => {
  const address = await startDockerd(t);
  setEnv(t, { DOCKER_HOST: `unix://${address.socketPath}` });
  const config = files.get(`blobs/sha256/${identity.slice(7)}`)!;
  const manifest = [{ Config: "config.json", RepoTags: ["sample/web:1"], Layers: ["0.tar", "1.tar"] }];
  const saved = sampleTar([
    { name: "config.json", content: config },
    ...layers("one").map((content, at) => ({ name: `${at}.tar`, content })),
    { name: "manifest.json", content: JSON.stringify(manifest) },
  ]);
  const post = { method: "POST", timeoutMs: 60_000 } as const;
  await dockerText(address, { ...post, path: "/images/load", body: Readable.from([saved]) });
  const body = { Image: "sample/web:1", Cmd: ["/server"] };
  const { Id } = (await dockerJson(address, { ...post, path: "/containers/create", body })) as { Id: string };
  const said: string[] = [];
  const { info, problem } = await new ContainerNames((text) => said.push(text)).ask({ runtime: "docker", id: Id });
  assert.deepEqual([info.image, problem, said], [identity, null, []]);
});
