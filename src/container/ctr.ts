import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { MAX_DOCUMENT_BYTES, type ReadContent } from "./image-identity.ts";

/** A containerd and one of its namespaces. */
export interface ContainerdPlace {
  readonly address: string;
  readonly namespace: string;
}

const TIMEOUT_MS = 5000;
/** containerd's own; the one that a Docker Engine starts for itself; that of k3s. */
const SOCKETS = [
  "/run/containerd/containerd.sock",
  "/run/docker/containerd/containerd.sock",
  "/run/k3s/containerd/containerd.sock",
];

/** The sockets at which a containerd may answer: CONTAINERD_ADDRESS alone where it is set, as for ctr. */
export async function containerdAddresses(): Promise<string[]> {
  const { CONTAINERD_ADDRESS: own } = process.env;
  const there = await Promise.all(
    (own ? [own] : SOCKETS).map((path) =>
      access(path).then(
        () => path,
        () => null,
      ),
    ),
  );
  return there.filter((path) => path !== null);
}

/** What ctr prints. Throws `tool-missing`, `containerd-silent`, and `containerd-failed` with its last line. */
export function ctr({ address, namespace }: ContainerdPlace, args: readonly string[]): Promise<Buffer> {
  const settings = {
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL" as const,
    maxBuffer: MAX_DOCUMENT_BYTES + 1,
    encoding: "buffer" as const,
    env: { PATH: process.env.PATH ?? "", LC_ALL: "C" },
  };
  return new Promise((resolve, reject) => {
    execFile("ctr", ["--address", address, "--namespace", namespace, ...args], settings, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if (errorCode(error) === "ENOENT")
        return reject(
          new PimsError("tool-missing", "ctr is not installed", {
            hint: "it comes with containerd, whose content it reads",
          }),
        );
      if (error.killed && error.code !== "ERR_CHILD_PROCESS_STDIO_MAXBUFFER")
        return reject(
          new PimsError("containerd-silent", `containerd at ${address} does not answer within ${TIMEOUT_MS / 1000} s`, {
            hint: "see whether it runs",
          }),
        );
      const last = stderr.toString("utf8").trim().split("\n").at(-1)?.slice(0, 300) || "it ended without a word";
      reject(new PimsError("containerd-failed", `containerd at ${address} does not tell: ${last}`, { cause: error }));
    });
  });
}

/** Content of containerd's store, which any of its namespaces that has the image may be asked for. */
export function contentOf(place: ContainerdPlace): ReadContent {
  return (digest) =>
    ctr(place, ["content", "get", digest]).catch((error: unknown) => {
      if (error instanceof PimsError && error.code === "containerd-failed" && error.message.endsWith("not found"))
        return null;
      throw error;
    });
}
