import type { Readable } from "node:stream";
import { z } from "zod";
import { errorCode, PimsError } from "../core/errors.ts";
import { type DockerAddress, dockerAddress, dockerJson, dockerStream } from "./docker-http.ts";
import type { RuntimeStart } from "./start.ts";
import type { ContainerInfo } from "./types.ts";

/** What Docker knows about an image. */
export interface DockerImage {
  /** `sha256:…`, what containers made of it carry as their image. */
  readonly id: string;
  readonly names: readonly string[];
  readonly architecture: string;
  /** Digests of its layers, uncompressed, the lowest first; null where the engine does not tell. */
  readonly layers: readonly string[] | null;
  readonly entrypoint: readonly string[];
  /** Such as `80/tcp`. */
  readonly ports: readonly string[];
}

/** A container as its runtime sees it from outside. */
export interface DockerContainer extends ContainerInfo {
  /** The host's number of its first process, null when it does not run. */
  readonly pid: number | null;
}

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const strings = z.array(z.string()).nullish();

const containerAnswer = z.object({
  Id: z.string().regex(/^[0-9a-f]{64}$/),
  Name: z.string(),
  Image: digest,
  /** Since API 1.48, of an engine that keeps images in containerd. */
  ImageManifestDescriptor: z.object({ digest }).nullish(),
  Path: z.string().nullish(),
  Args: strings,
  Config: z.object({
    Image: z.string(),
    Labels: z.record(z.string(), z.string()).nullish(),
    Entrypoint: strings,
    Env: strings,
  }),
  HostConfig: z
    .object({
      Privileged: z.boolean().nullish(),
      Devices: z.array(z.object({ PathOnHost: z.string() })).nullish(),
    })
    .nullish(),
  State: z.object({ Pid: z.number().int().nonnegative() }),
});

const imageAnswer = z.object({
  Id: digest,
  RepoTags: strings,
  Architecture: z.string(),
  RootFS: z.object({ Layers: strings }).nullish(),
  Config: z
    .object({
      Entrypoint: strings,
      Cmd: strings,
      Env: strings,
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
});

/** True when an engine answers, false when none does. */
export async function dockerAnswers(address: DockerAddress = dockerAddress()): Promise<boolean> {
  try {
    await dockerJson(address, { method: "GET", path: "/version", timeoutMs: 3000 });
    return true;
  } catch (error) {
    if (error instanceof PimsError && error.code === "docker-unreachable") return false;
    throw error;
  }
}

/** Name, image and labels of a container (full or short id, or name). Throws `container-not-found`, `docker-unreachable`. */
export async function inspectContainer(id: string, address: DockerAddress = dockerAddress()): Promise<DockerContainer> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(id)) throw notFound("container", id);
  const path = `/containers/${id}/json`;
  const answer = await dockerJson(address, { method: "GET", path }).catch((error) => translate(error, "container", id));
  const found = check(containerAnswer, answer, path);
  return {
    runtime: "docker",
    id: found.Id,
    name: found.Name.replace(/^\//, ""),
    image: found.Image,
    imageName: found.Config.Image,
    ...(found.ImageManifestDescriptor ? { manifest: found.ImageManifestDescriptor.digest } : {}),
    labels: found.Config.Labels ?? {},
    pid: found.State.Pid || null,
    start: await startOf(found, address),
  };
}

async function startOf(found: z.infer<typeof containerAnswer>, address: DockerAddress): Promise<RuntimeStart> {
  const { Path, Args, Config, HostConfig, State } = found;
  const image = await imageConfig(found.Image, address);
  const own = Config.Entrypoint?.length ?? 0;
  return {
    pid: State.Pid || null,
    privileged: HostConfig?.Privileged ?? false,
    args: Path ? [Path, ...(Args ?? [])] : [],
    // Without an entry point of its own it runs a command: any it likes, unless the image's entry point was taken away.
    entryWords: own || (image?.Entrypoint?.length ? 1 : 0),
    env: Config.Env ?? [],
    imageEnv: image === null ? null : (image.Env ?? []),
    devices: (HostConfig?.Devices ?? []).map(({ PathOnHost }) => PathOnHost),
  };
}

/** Null when the engine does not have the image any more, or tells nothing that can be understood. */
async function imageConfig(id: string, address: DockerAddress) {
  try {
    const path = `/images/${imagePath(id)}/json`;
    const { Config } = check(imageAnswer, await dockerJson(address, { method: "GET", path }), path);
    return Config ?? {};
  } catch (error) {
    if (error instanceof PimsError) return null;
    throw error;
  }
}

/** Throws `image-not-found` for a name (`pims-demo/web`, `nginx:1.22`, `sha256:…`) that the engine does not have. */
export async function inspectImage(name: string, address: DockerAddress = dockerAddress()): Promise<DockerImage> {
  const path = `/images/${imagePath(name)}/json`;
  const answer = await dockerJson(address, { method: "GET", path }).catch((error) => translate(error, "image", name));
  const found = check(imageAnswer, answer, path);
  return {
    id: found.Id,
    names: found.RepoTags ?? [],
    architecture: found.Architecture,
    layers: found.RootFS?.Layers ?? null,
    entrypoint: [...(found.Config?.Entrypoint ?? []), ...(found.Config?.Cmd ?? [])],
    ports: Object.keys(found.Config?.ExposedPorts ?? {}),
  };
}

/**
 * The image as the tar archive of `docker save`. Throws `image-not-found`, and `docker-unreachable` when the engine is
 * silent for `timeoutMs`, as it also is while it packs a large image. The caller reads it to its end or destroys it.
 */
export async function exportImage(
  name: string,
  address: DockerAddress = dockerAddress(),
  timeoutMs = 120_000,
): Promise<Readable> {
  // Asked first: engines differ in how they refuse to export what they do not have, some in the middle of the archive.
  const { id } = await inspectImage(name, address);
  const path = `/images/${id}/get`;
  return dockerStream(address, { method: "GET", path, timeoutMs }).catch((error) => translate(error, "image", name));
}

function imagePath(name: string): string {
  // A name goes into a path: nothing that could lead to another one.
  if (!/^[A-Za-z0-9][\w./:@-]{0,400}$/.test(name) || name.includes("..")) throw notFound("image", name);
  return name;
}

function translate(error: unknown, what: "container" | "image", name: string): never {
  if (errorCode(error) === "docker-not-found") throw notFound(what, name, error);
  throw error;
}

function notFound(what: "container" | "image", name: string, cause?: unknown): PimsError {
  const list = what === "image" ? "docker images" : "docker ps";
  const shown = JSON.stringify(name.slice(0, 200));
  return new PimsError(`${what}-not-found`, `Docker has no ${what} ${shown}`, { hint: `'${list}' lists them`, cause });
}

function check<T>(shape: z.ZodType<T>, answer: unknown, path: string): T {
  const parsed = shape.safeParse(answer);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join(".") ?? "";
  throw new PimsError("docker-answer", `Docker answered ${path} in an unknown form (${where})`, {
    cause: parsed.error,
  });
}
