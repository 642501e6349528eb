import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { askRuntime } from "../src/agent/container-names.ts";
import { ImageBaselines } from "../src/agent/image-baselines.ts";
import type { ScanReport } from "../src/agent/scan.ts";
import type { DockerAddress } from "../src/container/docker-http.ts";
import type { DemoContainer, DemoRuntime } from "../src/demo/containers.ts";
import { openDemoRuntime } from "../src/demo/containers.ts";
import { type DemoImages, prepareImages } from "../src/demo/images.ts";
import { findingSchema } from "../src/log/finding.ts";
import { startDockerd } from "./dockerd.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

/** In front of a real engine: counts the images that are handed over, and can keep silent or refuse. */
async function frontOf(engine: DockerAddress, folder: string) {
  const front = {
    exports: 0,
    unanswered: 0,
    silent: /^$/,
    refused: /^$/,
    stalled: false,
    host: `unix://${join(folder, "front.sock")}`,
  };
  const server = createServer((incoming, outgoing) => {
    const { method, url = "", headers } = incoming;
    if (/^\/images\/.*\/get$/.test(url)) front.exports++;
    if (front.silent.test(url)) return void front.unanswered++;
    if (front.stalled && url.endsWith("/get")) return void outgoing.writeHead(200).write("x");
    if (front.refused.test(url)) return void outgoing.writeHead(404).end('{"message":"no such thing"}');
    const onward = request({ socketPath: engine.socketPath, method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.listen(join(folder, "front.sock"));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { front, close };
}

test("with Docker the image is the baseline", async (t) => {
  const images = await prepareImages();
  const folder = temporaryFolder(t);
  const engine = await startDockerd(t);
  const { front, close } = await frontOf(engine, folder);
  t.after(close);
  const runtime = await openDemoRuntime({ kind: "docker", docker: engine });
  try {
    await withDocker(t, { images, folder, front, runtime });
  } finally {
    await runtime.cleanup();
  }
});

interface Parts {
  readonly images: DemoImages;
  readonly folder: string;
  readonly front: Awaited<ReturnType<typeof frontOf>>["front"];
  readonly runtime: DemoRuntime;
}

async function withDocker(t: TestContext, { images, folder, front, runtime }: Parts) {
  const cache = join(folder, "cache");
  const { identity } = await runtime.provideImage(images.web);
  const start = async (name: string) => {
    mkdirSync(join(folder, name));
    return runtime.start({ name, image: images.web, identity: identity!, volume: join(folder, name) });
  };
  const [one, two] = [await start("one"), await start("two")];
  // Other tests may run containers meanwhile: only these two are looked at.
  const ids = [one.ref.id, two.ref.id];
  const run = async (...args: string[]) => {
    const ended = await pimsMeanwhile(["scan", "--cache", cache, ...args], { DOCKER_HOST: front.host });
    return { ...ended, report: args.includes("--json") ? (JSON.parse(ended.stdout) as ScanReport) : null };
  };
  const scan = async (...args: string[]) => {
    const { report, status, stderr } = await run("--json", ...args);
    assert.equal(report!.schema, "pims.scan/v1");
    for (const finding of report!.findings) findingSchema.parse(finding);
    return {
      status,
      stderr,
      report: report!,
      containers: report!.containers.filter(({ container }) => ids.includes(container.id)),
      findings: report!.findings.filter(({ container }) => ids.includes(container?.id ?? "")),
    };
  };
  const reasons = (found: { findings: ScanReport["findings"] }, container: DemoContainer) =>
    found.findings.filter((finding) => finding.container?.id === container.ref.id).map(({ reason }) => reason);

  await t.test("two containers of one image: it is read once, and nothing is found", async () => {
    const { containers, findings } = await scan();
    assert.equal(front.exports, 1);
    assert.deepEqual(findings, []);
    assert.equal(containers.length, 2);
    for (const { baseline, notJudged, processes } of containers) {
      assert.equal(notJudged, null);
      assert.equal(baseline?.from, "image");
      assert.equal(baseline.identity, identity);
      assert.equal(baseline.cached, false);
      assert.ok(baseline.entries > 100 && processes >= 2);
    }
    assert.equal(statSync(cache).mode & 0o777, 0o700);
  });

  await t.test("the second scan reads no image", async () => {
    const { containers, findings } = await scan();
    assert.equal(front.exports, 1);
    assert.deepEqual(findings, []);
    assert.deepEqual(
      containers.map(({ baseline }) => baseline?.cached),
      [true, true],
    );
  });

  await t.test("what is kept is not believed when it was altered or damaged", async () => {
    const [name, more] = readdirSync(cache);
    assert.equal(more, undefined);
    const path = join(cache, name!);
    const whole = readFileSync(path, "utf8");
    const digest = /"path":"\/usr\/local\/bin\/server".*?"sha256":"([0-9a-f]{64})"/.exec(whole)![1]!;
    const alterations = [whole.replace(digest, "0".repeat(64)), whole.slice(0, 5000)];
    for (const [index, text] of alterations.entries()) {
      writeFileSync(path, text);
      const { containers, findings } = await scan();
      assert.equal(front.exports, 2 + index);
      assert.deepEqual(findings, []);
      assert.deepEqual(
        containers.map(({ baseline }) => baseline?.cached),
        [false, false],
      );
      assert.equal(readFileSync(path, "utf8"), whole);
    }
  });

  await t.test("a folder that others may write to keeps nothing", async () => {
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    const { containers, stderr } = await scan("--cache", open);
    assert.match(stderr, /others than this user may write to the folder .*open: baselines of images are not kept/);
    assert.equal(containers.filter(({ baseline }) => baseline !== null).length, 2);
    assert.deepEqual(readdirSync(open), []);
  });

  await t.test("a program, an injected library and a changed file are found", async () => {
    await runtime.copyIn(one, images.dropper, "/tmp/.cache/kworker", 0o755);
    const dropped = await runtime.exec(one, ["/tmp/.cache/kworker", "-l", "-p", "7777", "-s", "127.0.0.1"]);
    await runtime.copyIn(one, images.injectedLibrary, "/var/tmp/libnss_cache.so.2", 0o644);
    await runtime.exec(one, ["/usr/bin/sleep", "1000"], { LD_PRELOAD: "/var/tmp/libnss_cache.so.2" });
    await runtime.exec(two, [
      "/bin/sh",
      "-c",
      "cp /usr/bin/sleep /tmp/s && echo >> /tmp/s && mv /tmp/s /usr/bin/tail && exec /usr/bin/tail 1000",
    ]);
    for (const method of ["auto", "fallback"]) {
      let found = await scan("--method", method);
      for (let tries = 0; tries < 20 && found.findings.length < 3; tries++) found = await scan("--method", method);
      assert.equal(found.status, 2);
      assert.deepEqual(reasons(found, one).toSorted(), ["preload-injection", "unknown-executable"]);
      assert.equal(found.findings.find(({ reason }) => reason === "unknown-executable")!.pid, dropped.pid);
      assert.deepEqual(reasons(found, two), ["file-modified"]);
      const [changed] = found.report.changedFiles.filter(({ container }) => container === `docker:${two.ref.id}`);
      assert.equal(changed!.path, "/usr/bin/tail");
      assert.notEqual(changed!.expected.digest, changed!.found.digest);
      assert.equal(changed!.expected.size, String(statSync(join(images.web.rootfs, "usr/bin/tail")).size));
      assert.equal(changed!.found.size, String(statSync(join(images.web.rootfs, "usr/bin/sleep")).size + 1));
    }
    const { stdout } = await run();
    assert.match(stdout, /unknown-executable: process \d+ \(\/tmp\/\.cache\/kworker\) executes/);
    assert.match(stdout, /image +has \d+ bytes there, sha256 [0-9a-f]{64}; found \d+ bytes/);
    assert.match(stdout, /pims-demo-\S+-one +docker [0-9a-f]{12} .* 2 +its image, \d+ programs/);
  });

  await t.test("without images only memory is looked at", async () => {
    const { containers, findings, report } = await scan("--no-images");
    assert.deepEqual(findings, []);
    assert.equal(report.coverage.images, false);
    assert.deepEqual(
      containers.map(({ notJudged }) => notJudged),
      ["images are not used", "images are not used"],
    );
  });

  await t.test("an image that the engine no longer has: the scan says so and is not clean", async () => {
    front.refused = /^\/images\//;
    const { containers, findings, status } = await scan("--cache", join(folder, "empty"));
    front.refused = /^$/;
    assert.deepEqual(findings, []);
    for (const { baseline, notJudged } of containers) {
      assert.equal(baseline, null);
      assert.match(notJudged!, /Docker has no image "sha256:/);
    }
    assert.ok(status === 3 || status === 2, `${status}`);
  });

  await t.test("an image that does not come to its end is given up", async () => {
    const before = process.env.DOCKER_HOST;
    process.env.DOCKER_HOST = front.host;
    front.stalled = true;
    try {
      const steps: string[] = [];
      const baselines = new ImageBaselines({
        folder: null,
        report: assert.fail,
        step: (text) => void steps.push(text),
        exportTimeoutMs: 500,
      });
      const found = await baselines.of(await askRuntime(one.ref));
      assert.deepEqual(found, { found: false, text: "Docker did not hand over the image within 0.5 s" });
      assert.match(steps.join(), /reading the image pims-demo\/web/);
    } finally {
      front.stalled = false;
      if (before === undefined) delete process.env.DOCKER_HOST;
      else process.env.DOCKER_HOST = before;
    }
  });

  await t.test("an engine that does not answer is asked once", async () => {
    front.silent = /./;
    const { containers, status, stderr } = await scan();
    front.silent = /^$/;
    assert.equal(front.unanswered, 1);
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    assert.match(stderr, /no Docker Engine answers at .*front\.sock/);
    for (const { notJudged } of containers) assert.match(notJudged!, /no Docker Engine answers/);
    assert.ok(status === 3 || status === 2, `${status}`);
  });
}
