import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pack } from "tar-stream";
import { z } from "zod";
import { exportImage, inspectImage } from "../container/docker.ts";
import {
  type DockerAddress,
  type DockerRequest,
  dockerJson,
  dockerStream,
  dockerText,
} from "../container/docker-http.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import type { DemoContainer, DemoRuntime, ProvidedImage, StartOptions } from "./containers.ts";
import type { RootImage } from "./images.ts";
import { isAbandoned, ownerLabel, ownerMark } from "./owner.ts";
import { toolPath } from "./run-tool.ts";
import { waitForPage } from "./wait-http.ts";

const importMs = 120_000;
const removeMs = 30_000;

const created = z.object({ Id: z.string() });
const execState = z.object({ Pid: z.number(), Running: z.boolean(), ExitCode: z.number().nullish() });
const labelled = z.array(z.object({ Id: z.string(), Labels: z.record(z.string(), z.string()).nullish() }));

/** Docker Engine: the images are imported for the run and removed with it. */
export async function openDockerRuntime(address: DockerAddress): Promise<DemoRuntime> {
  // Two demos at one engine must not take each other's image names.
  const run = randomBytes(4).toString("hex");
  const mark = ownerMark(run);
  await removeOwned(address, (owner) => isAbandoned(owner));
  const tag = (image: RootImage): string => `${image.name}:${run}`;
  return {
    kind: "docker",
    namePattern: `pims-demo-${run}-*`,
    provideImage: (image) => importImage(address, image, tag(image), mark),
    start: (options) =>
      start(address, options, { image: tag(options.image), name: `pims-demo-${run}-${options.name}`, mark }),
    exec: (container, argv, env = {}) => exec(address, container.ref.id, argv, env),
    copyIn: (container, hostFile, path, mode) => copyInto(address, container.ref.id, hostFile, path, mode),
    remove: (container) => removeIfThere(address, `/containers/${container.ref.id}?force=1&v=1`),
    cleanup: () => removeOwned(address, (owner) => owner === mark),
  };
}

async function importImage(
  address: DockerAddress,
  image: RootImage,
  name: string,
  mark: string,
): Promise<ProvidedImage> {
  const args = ["--numeric-owner", "-C", image.rootfs, "-c", "."];
  const tar = spawn("tar", args, { stdio: ["ignore", "pipe", "ignore"], env: { PATH: toolPath } });
  const exit = once(tar, "exit");
  const [repo, tag] = name.split(":");
  const query = new URLSearchParams({ fromSrc: "-", repo: repo!, tag: tag! });
  query.append("changes", `LABEL ${ownerLabel}=${mark}`);
  query.append("changes", `ENTRYPOINT ${JSON.stringify(image.entrypoint)}`);
  try {
    const path = `/images/create?${query}`;
    const [[status]] = await Promise.all([
      exit,
      dockerText(address, { method: "POST", path, body: tar.stdout, timeoutMs: importMs }),
    ]);
    // The engine takes an archive that ends early for a whole one.
    if (status !== 0) throw new PimsError("tool-failed", `tar could not read ${image.rootfs}`);
  } finally {
    tar.kill();
  }
  const { id } = await inspectImage(name, address);
  return { name, identity: id, archive: () => exportImage(id, address) };
}

async function start(
  address: DockerAddress,
  options: StartOptions,
  own: { image: string; name: string; mark: string },
): Promise<DemoContainer> {
  const body = {
    Image: own.image,
    Labels: { [ownerLabel]: own.mark },
    HostConfig: {
      NetworkMode: "none",
      Mounts: [
        { Type: "bind", Source: options.volume, Target: "/run/web" },
        ...Object.entries(options.binds ?? {}).map(([Target, Source]) => ({ Type: "bind", Source, Target })),
      ],
    },
  };
  const path = `/containers/create?name=${own.name}`;
  const { Id: id } = created.parse(await dockerJson(address, { method: "POST", path, body }));
  await dockerText(address, { method: "POST", path: `/containers/${id}/start`, timeoutMs: removeMs });
  const socketPath = join(options.volume, "http.sock");
  await (options.ready ?? (() => waitForPage(socketPath)))();
  return { ref: { runtime: "docker", id }, name: options.name, socketPath };
}

async function exec(
  address: DockerAddress,
  id: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ pid: number }> {
  const body = { Cmd: argv, Env: Object.entries(env).map(([name, value]) => `${name}=${value}`) };
  const answer = await dockerJson(address, { method: "POST", path: `/containers/${id}/exec`, body });
  const { Id: execId } = created.parse(answer);
  await dockerText(address, { method: "POST", path: `/exec/${execId}/start`, body: { Detach: true } });
  for (let tries = 0; tries < 250; tries++) {
    const state = execState.parse(await dockerJson(address, { method: "GET", path: `/exec/${execId}/json` }));
    if (state.Pid > 0) return { pid: state.Pid };
    if (state.ExitCode) break;
    await sleep(20);
  }
  throw new PimsError("exec-failed", `Docker did not start ${JSON.stringify(argv[0])} in the container`);
}

async function copyInto(
  address: DockerAddress,
  id: string,
  hostFile: string,
  path: string,
  mode: number,
): Promise<void> {
  // The archive names only what is missing: Docker would give an existing folder the archive's mode.
  let base = dirname(path);
  while (base !== "/" && !(await folderExists(address, id, base))) base = dirname(base);
  const archive = pack();
  const relative = path.slice(base === "/" ? 1 : base.length + 1);
  const parts = relative.split("/");
  for (let count = 1; count < parts.length; count++) {
    archive.entry({ name: `${parts.slice(0, count).join("/")}/`, type: "directory", mode: 0o755 });
  }
  archive.entry({ name: relative, mode }, await readFile(hostFile));
  archive.finalize();
  const query = new URLSearchParams({ path: base, noOverwriteDirNonDir: "1" });
  await dockerText(address, { method: "PUT", path: `/containers/${id}/archive?${query}`, body: archive });
}

async function folderExists(address: DockerAddress, id: string, path: string): Promise<boolean> {
  const query = new URLSearchParams({ path });
  try {
    (await dockerStream(address, { method: "HEAD", path: `/containers/${id}/archive?${query}` })).resume();
    return true;
  } catch (error) {
    if (errorCode(error) === "docker-not-found") return false;
    throw error;
  }
}

/** Containers first: an image in use cannot be removed. */
async function removeOwned(address: DockerAddress, isOurs: (owner: string) => boolean): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ label: [ownerLabel] }));
  for (const kind of ["containers", "images"]) {
    const query: DockerRequest = { method: "GET", path: `/${kind}/json?all=1&filters=${filters}` };
    for (const { Id, Labels } of labelled.parse(await dockerJson(address, query))) {
      if (isOurs(Labels?.[ownerLabel] ?? "")) await removeIfThere(address, `/${kind}/${Id}?force=1&v=1`);
    }
  }
}

async function removeIfThere(address: DockerAddress, path: string): Promise<void> {
  await dockerText(address, { method: "DELETE", path, timeoutMs: removeMs }).catch((error: unknown) => {
    if (errorCode(error) !== "docker-not-found") throw error;
  });
}
