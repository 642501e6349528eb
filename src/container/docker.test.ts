import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { extract, pack } from "tar-stream";
import { startDockerd } from "../../test/dockerd.ts";
import { dockerAnswers, exportImage, inspectContainer, inspectImage } from "./docker.ts";
import { type DockerAddress, dockerAddress, dockerJson, dockerText } from "./docker-http.ts";

/** An engine that answers as no engine should. */
async function hostileEngine(t: TestContext, answer: RequestListener): Promise<DockerAddress> {
  const folder = await mkdtemp(join(tmpdir(), "pims-docker-"));
  const server = createServer(answer);
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const address = { socketPath: join(folder, "s") };
  server.listen(address.socketPath);
  await once(server, "listening");
  return address;
}

test("images and containers of a real engine", async (t) => {
  const address = await startDockerd(t);
  assert.equal(await dockerAnswers(address), true);
  const tree = pack();
  tree.entry({ name: "hello" }, "world");
  tree.finalize();
  const query = new URLSearchParams({ fromSrc: "-", repo: "pims/test", tag: "1" });
  query.append("changes", 'ENTRYPOINT ["/hello"]');
  query.append("changes", "EXPOSE 80/tcp");
  await dockerText(address, { method: "POST", path: `/images/create?${query}`, body: tree });

  const image = await inspectImage("pims/test:1", address);
  assert.match(image.id, /^sha256:[0-9a-f]{64}$/);
  assert.deepEqual(
    { ...image, id: "", architecture: "", layers: image.layers?.length },
    { layers: 1, id: "", architecture: "", names: ["pims/test:1"], entrypoint: ["/hello"], ports: ["80/tcp"] },
  );
  assert.deepEqual(await inspectImage(image.id, address), image);

  const names: string[] = [];
  const archive = extract();
  archive.on("entry", ({ name }, stream, next) => {
    names.push(name);
    stream.on("end", next).resume();
  });
  (await exportImage("pims/test:1", address)).pipe(archive);
  await once(archive, "finish");
  assert.ok(names.includes("manifest.json"));

  const body = { Image: "pims/test:1", Labels: { colour: "red" } };
  await dockerJson(address, { method: "POST", path: "/containers/create?name=one", body });
  const { id, start, ...info } = await inspectContainer("one", address);
  const expected = {
    runtime: "docker",
    name: "one",
    image: image.id,
    imageName: "pims/test:1",
    labels: { colour: "red" },
    pid: null,
  };
  assert.deepEqual(info, expected);
  assert.deepEqual(
    { ...start, env: [], imageEnv: [] },
    { pid: null, privileged: false, args: ["/hello"], entryWords: 1, env: [], imageEnv: [], devices: [] },
  );
  assert.equal((await inspectContainer(id, address)).name, "one");

  for (const name of ["pims/none", "sha256:00", "../containers/one", "a b", ""]) {
    await assert.rejects(inspectImage(name, address), { code: "image-not-found" });
    await assert.rejects(exportImage(name, address), { code: "image-not-found" });
  }
  for (const name of ["none", "a/b", "..", ""]) {
    await assert.rejects(inspectContainer(name, address), { code: "container-not-found" });
  }
  await assert.rejects(dockerJson(address, { method: "POST", path: "/containers/create", body: { Image: 7 } }), {
    code: "docker-refused",
  });
});

test("an engine that is not there is unreachable, in one sentence that says what to do", async () => {
  const address = { socketPath: join(tmpdir(), "pims-no-docker.sock") };
  assert.equal(await dockerAnswers(address), false);
  const error = {
    code: "docker-unreachable",
    message: /^no Docker Engine answers at \/.*\(ENOENT\)$/,
    hint: /start dockerd/,
  };
  await assert.rejects(inspectImage("x", address), error);
  assert.deepEqual(dockerAddress("unix:///run/d.sock"), { socketPath: "/run/d.sock" });
  assert.deepEqual(dockerAddress(""), { socketPath: "/var/run/docker.sock" });
  assert.throws(() => dockerAddress("tcp://other:2375"), { code: "docker-unreachable" });
});

test("an engine that says nothing, too much or something else", async (t) => {
  const silent = await hostileEngine(t, () => {});
  const slow = dockerJson(silent, { method: "GET", path: "/version", timeoutMs: 100 });
  await assert.rejects(slow, { code: "docker-unreachable", message: /no answer within 0.1 s/ });

  const halting = await hostileEngine(t, (_, response) => void response.write("{"));
  const cut = dockerJson(halting, { method: "GET", path: "/version", timeoutMs: 100 });
  await assert.rejects(cut, { code: "docker-unreachable" });

  const dripping = await hostileEngine(t, (_, response) => {
    const drip = setInterval(() => response.write(" "), 20);
    response.on("close", () => clearInterval(drip));
  });
  const never = dockerJson(dripping, { method: "GET", path: "/version", timeoutMs: 200 });
  await assert.rejects(never, { code: "docker-unreachable", message: /no end within 0.2 s/ });

  const endless = await hostileEngine(t, (_, response) => {
    Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(1 << 20);
      })(),
    ).pipe(response);
  });
  await assert.rejects(inspectImage("x", endless), { code: "docker-answer", message: /larger than 16 MiB/ });

  for (const text of ["", "x", "null", "[]", "{}", '{"Id":"../x","Name":"/n","Image":"y"}']) {
    const odd = await hostileEngine(t, (_, response) => void response.end(text));
    await assert.rejects(inspectImage("x", odd), { code: "docker-answer" });
    await assert.rejects(inspectContainer("x", odd), { code: "docker-answer" });
  }
});
