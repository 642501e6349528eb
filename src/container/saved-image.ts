import { spawn } from "node:child_process";
import { once } from "node:events";
import { errorCode, PimsError } from "../core/errors.ts";

const MAX_COMPLAINT_BYTES = 64 * 1024;
/** A large image may take a while before its first byte comes. */
const SILENCE_MS = 600_000;

export interface Containerd {
  /** containerd keeps images by namespace: `default`, `k8s.io` for Kubernetes, `moby` for Docker. */
  readonly namespace?: string | undefined;
  /** `linux/arm64`; this machine's otherwise. */
  readonly platform?: string | undefined;
}

/**
 * An image of Podman as `podman save` writes it: of the user's own store, or the one that CONTAINERS_STORAGE_CONF says.
 * Layers come uncompressed: another form would be compressed anew. Throws as it is read `image-not-found`, `image-unreadable` and
 * `tool-missing`.
 */
export function savePodmanImage(name: string, silenceMs = SILENCE_MS): AsyncGenerator<Uint8Array> {
  const args = ["save", "--quiet", "--format", "docker-archive", imageName("Podman", name)];
  return saved("podman", args, { name, silenceMs });
}

/**
 * An image of containerd as `ctr image export` writes it; CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE count as for ctr.
 * Throws as `savePodmanImage`.
 */
export function saveContainerdImage(
  name: string,
  { namespace, platform }: Containerd = {},
): AsyncGenerator<Uint8Array> {
  const where = namespace === undefined ? [] : ["--namespace", namespace];
  const which = platform === undefined ? [] : ["--platform", platform];
  return saved("ctr", [...where, "images", "export", ...which, "-", imageName("containerd", name)], {
    name,
    silenceMs: SILENCE_MS,
  });
}

/** A name goes into a command line: nothing that could be an option of it. */
function imageName(engine: string, name: string): string {
  if (/^[A-Za-z0-9][\w./:@-]{0,400}$/.test(name)) return name;
  throw new PimsError("image-not-found", `${engine} has no image ${JSON.stringify(name.slice(0, 200))}`);
}

/** What a program writes to its standard output. Ends the program, wherever it is, when it is not read any more. */
async function* saved(
  program: string,
  args: readonly string[],
  { name, silenceMs }: { readonly name: string; readonly silenceMs: number },
): AsyncGenerator<Uint8Array> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, LC_ALL: "C" } });
  let complaint = "";
  const ended = once(child, "close").then(
    ([status]: (number | null)[]) => (status === 0 ? null : refused(program, name, complaint)),
    (cause: unknown) => missing(program, cause),
  );
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = `${complaint}${text}`.slice(-MAX_COMPLAINT_BYTES);
  });
  try {
    const chunks = (child.stdout as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    for (;;) {
      const next = await inTime(chunks.next(), silenceMs, program);
      if (next.done) break;
      yield next.value;
    }
    const problem = await ended;
    if (problem !== null) throw problem;
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    // What it has started itself may hold on to them.
    child.stdout.destroy();
    child.stderr.destroy();
    await ended;
  }
}

async function inTime<T>(answer: Promise<T>, silenceMs: number, program: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new PimsError("image-unreadable", `${program} gave nothing for ${silenceMs / 1000} s`)),
    silenceMs,
  );
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
    answer.catch(() => undefined);
  }
}

function missing(program: string, cause: unknown): PimsError {
  const why = errorCode(cause) === "ENOENT" ? "is not installed" : `cannot be started (${errorCode(cause)})`;
  return new PimsError("tool-missing", `${program} ${why}`, {
    hint: "save the image where it is, and give it by --archive",
    cause,
  });
}

function refused(program: string, name: string, complaint: string): PimsError {
  const last = complaint.trim().split("\n").at(-1)?.slice(0, 500) || "it ended without a word";
  if (/not known|not found|no such image/i.test(last))
    return new PimsError("image-not-found", `${program} has no image ${JSON.stringify(name)}`);
  return new PimsError("image-unreadable", `${program} could not export the image ${JSON.stringify(name)}: ${last}`);
}
