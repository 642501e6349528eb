import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { readBaselineFile } from "../src/baseline/file.ts";
import type { Baseline } from "../src/baseline/lines.ts";
import { packLayout, type SampleImage, sampleLayout } from "../src/baseline/sample-oci.ts";
import { sampleTar } from "../src/baseline/sample-tar.ts";
import { dockerText } from "../src/container/docker-http.ts";
import { sampleElf } from "../src/measure/sample-elf.ts";
import { startDockerd } from "./dockerd.ts";
import { lastLines, startContainerd, stopDaemon } from "./engine-daemons.ts";
import { pims, temporaryFolder } from "./pims.ts";

const layers = [
  sampleTar([
    { name: "bin/", type: "5", mode: 0o755 },
    { name: "bin/server", content: sampleElf({ type: 2 }), mode: 0o755 },
    { name: "bin/old", content: sampleElf({ type: 2, seed: 1 }), mode: 0o755 },
  ]),
  sampleTar([
    { name: "bin/", type: "5", mode: 0o755 },
    { name: "bin/.wh.old" },
    { name: "start.sh", content: "#!/bin/sh\n", mode: 0o755 },
  ]),
];
const image: SampleImage = { layers, pack: (layer) => gzipSync(layer) };
const NAME = "docker.io/sample/web:1";
const { files, identities, manifests } = sampleLayout([image], { name: NAME });

interface Printed {
  readonly baseline: Baseline;
  readonly aliases: readonly string[];
}

async function build(t: TestContext, source: readonly string[], env: NodeJS.ProcessEnv): Promise<Printed> {
  const output = join(temporaryFolder(t), "built.baseline");
  const args = ["baseline", "build", ...source, "--name", "web", "--output", output, "--json"];
  const { status, stdout, stderr } = pims(args, { env: { ...process.env, ...env } });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  const { aliases } = JSON.parse(stdout) as { aliases: string[] };
  return { baseline: await readBaselineFile(output), aliases };
}

/** The same without an engine. */
function expected(t: TestContext): Promise<Printed> {
  const archive = join(temporaryFolder(t), "oci.tar");
  writeFileSync(archive, packLayout(files));
  return build(t, ["--archive", archive], {});
}

function refuse(source: readonly string[], env: NodeJS.ProcessEnv, sentence: RegExp): void {
  const { status, stderr } = pims(["baseline", "build", ...source, "--output", "/dev/null"], {
    env: { ...process.env, ...env },
  });
  assert.equal(status, 1);
  assert.match(stderr, sentence);
  assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
}

test("Docker's image gives the baseline that its archive gives", async (t) => {
  const address = await startDockerd(t);
  await dockerText(address, {
    method: "POST",
    path: "/images/load",
    // Of an engine before version 25, which reads no OCI layout.
    body: Readable.from([dockerArchive()]),
    timeoutMs: 60_000,
  });
  const env = { DOCKER_HOST: `unix://${address.socketPath}` };
  const { baseline } = await build(t, ["--docker", "sample/web:1"], env);
  assert.deepEqual(baseline, (await expected(t)).baseline);
  refuse(["--docker", "sample/none:1"], env, /no image "sample\/none:1"/);
});

function dockerArchive(): Buffer {
  const config = files.get(`blobs/sha256/${identities[0]!.slice(7)}`)!;
  const manifest = [{ Config: "config.json", RepoTags: ["sample/web:1"], Layers: ["0.tar", "1.tar"] }];
  return sampleTar([
    { name: "config.json", content: config },
    ...layers.map((content, at) => ({ name: `${at}.tar`, content })),
    { name: "manifest.json", content: JSON.stringify(manifest) },
  ]);
}

test("Podman's image gives the baseline that its archive gives", async (t) => {
  const folder = temporaryFolder(t);
  const conf = join(folder, "storage.conf");
  const storage = { driver: "vfs", graphroot: join(folder, "graph"), runroot: join(folder, "run") };
  writeFileSync(
    conf,
    `[storage]\n${Object.entries(storage)
      .map(([key, value]) => `${key} = "${value}"`)
      .join("\n")}\n`,
  );
  const env = { CONTAINERS_STORAGE_CONF: conf };
  const archive = join(folder, "oci.tar");
  writeFileSync(archive, packLayout(files));
  const podman = (...args: string[]): string =>
    execFileSync("podman", args, {
      env: { ...process.env, ...env },
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  podman("load", "--quiet", "--input", archive);
  const { baseline } = await build(t, ["--podman", "sample/web:1"], env);
  assert.deepEqual(baseline, (await expected(t)).baseline);
  // What Podman calls the image is the baseline's identity.
  assert.equal(`sha256:${podman("inspect", "--format", "{{.Id}}", "sample/web:1").trim()}`, baseline.header.identity);
  // Its other forms, as files.
  for (const format of ["docker-archive", "oci-archive"]) {
    const saved = join(folder, format);
    podman("save", "--quiet", "--format", format, "--output", saved, "sample/web:1");
    assert.deepEqual((await build(t, ["--archive", saved], {})).baseline, baseline, format);
  }
  podman("save", "--quiet", "--format", "oci-dir", "--output", join(folder, "layout"), "sample/web:1");
  assert.deepEqual((await build(t, ["--oci", join(folder, "layout")], {})).baseline, baseline);
  refuse(["--podman", "sample/none:1"], env, /podman has no image "sample\/none:1"/);
  refuse(["--podman", "--help"], env, /no image/);
});

test("containerd's image gives the baseline that its archive gives", async (t) => {
  const folder = temporaryFolder(t);
  const socket = join(folder, "c.sock");
  const containerd = await startContainerd(folder, socket);
  try {
    const env = { CONTAINERD_ADDRESS: socket };
    const ctr = (...args: string[]): string =>
      execFileSync("ctr", args, {
        env: { ...process.env, ...env },
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
    const deadline = performance.now() + 30_000;
    for (;;) {
      try {
        ctr("version");
        break;
      } catch (error) {
        if (performance.now() > deadline) throw new Error(await lastLines(folder, ["containerd"]), { cause: error });
        await sleep(100);
      }
    }
    const archive = join(folder, "oci.tar");
    writeFileSync(archive, packLayout(files));
    ctr("--namespace", "k8s.io", "images", "import", "--no-unpack", archive);
    const { baseline, aliases } = await build(t, ["--containerd", NAME, "--namespace", "k8s.io"], env);
    assert.deepEqual(baseline, (await expected(t)).baseline);
    // What containerd calls it is the digest of its manifest, and leads to the same identity.
    const listed = ctr("--namespace", "k8s.io", "images", "ls", `name==${NAME}`);
    assert.ok(listed.includes(manifests[0]!.digest), listed);
    assert.deepEqual(aliases, [manifests[0]!.digest]);
    // Of two platforms each is found.
    const two = sampleLayout([image, { ...image, architecture: "riscv64" }], {
      nested: true,
      name: "docker.io/sample/two:1",
    });
    writeFileSync(archive, packLayout(two.files));
    ctr("images", "import", "--no-unpack", "--all-platforms", archive);
    const risc = await build(t, ["--containerd", "docker.io/sample/two:1", "--platform", "linux/riscv64"], env);
    assert.equal(risc.baseline.header.identity, two.identities[1]);
    assert.deepEqual(risc.aliases, [two.index!, two.manifests[1]!.digest].toSorted());
    refuse(["--containerd", NAME], env, /ctr has no image/);
  } finally {
    await stopDaemon(containerd);
  }
});
