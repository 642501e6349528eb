import type { Readable } from "node:stream";
import { dockerAnswers } from "../container/docker.ts";
import { type DockerAddress, dockerAddress } from "../container/docker-http.ts";
import type { ContainerRef } from "../container/types.ts";
import { PimsError } from "../core/errors.ts";
import { openDockerRuntime } from "./docker-containers.ts";
import type { RootImage } from "./images.ts";
import { withOrderlyCleanup } from "./in-flight.ts";
import { openRuncRuntime } from "./runc-containers.ts";

/** A running container of the demo. */
export interface DemoContainer {
  readonly ref: ContainerRef;
  readonly name: string;
  /** Where its server answers HTTP, on the host. */
  readonly socketPath: string;
}

/** An image as the runtime has it. */
export interface ProvidedImage {
  /** How containers of it name their image. */
  readonly name: string;
  /** `sha256:…` when the runtime gives images one; null when it has folders only and the tree's own digest must serve. */
  readonly identity: string | null;
  /** The image as `docker save` writes it; null when the root file system itself is the image. */
  readonly archive: (() => Promise<Readable>) | null;
}

export interface StartOptions {
  /** Lower-case letters, digits and dashes. */
  readonly name: string;
  readonly image: RootImage;
  /** What the container says its image is, where the runtime itself does not know. */
  readonly identity: string;
  /** A folder of the host that the container has at /run/web; its server's socket is `http.sock` in it. */
  readonly volume: string;
  /** Comes back when the container is ready; without it, that is when its server gives the first page. */
  readonly ready?: () => Promise<void>;
  /** Further folders of the host, writable, by their path in the container. */
  readonly binds?: Readonly<Record<string, string>>;
}

/** What the demo needs of a container runtime. All that it starts, `cleanup` removes. */
export interface DemoRuntime {
  readonly kind: "docker" | "runc";
  /** Matches the names of this run's containers, and of no others on this machine. */
  readonly namePattern: string;
  provideImage(image: RootImage): Promise<ProvidedImage>;
  /** Comes back when the container is ready. */
  start(options: StartOptions): Promise<DemoContainer>;
  /** Starts a further process inside the container and does not wait for its end. `pid` is the host's number. */
  exec(
    container: DemoContainer,
    argv: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<{ pid: number }>;
  /** Writes a file into the container, with the folders that it needs. */
  copyIn(container: DemoContainer, hostFile: string, pathInContainer: string, mode: number): Promise<void>;
  remove(container: DemoContainer): Promise<void>;
  /** May be called at any time and again: waits for what is under way, removes everything, and nothing new begins. */
  cleanup(): Promise<void>;
}

export interface RuntimeChoice {
  /** Without it: Docker when its engine answers, else runc. */
  readonly kind?: "docker" | "runc";
  readonly docker?: DockerAddress;
}

/** Opens the runtime and removes what earlier runs left at it whose process is gone. Throws `docker-unreachable`, `tool-missing`. */
export async function openDemoRuntime(choice: RuntimeChoice = {}): Promise<DemoRuntime> {
  return withOrderlyCleanup(await open(choice));
}

async function open(choice: RuntimeChoice): Promise<DemoRuntime> {
  if (choice.kind === "runc") return openRuncRuntime();
  const address = choice.docker ?? dockerAddress();
  if (await dockerAnswers(address)) return openDockerRuntime(address);
  if (choice.kind === undefined) return openRuncRuntime();
  throw new PimsError("docker-unreachable", `no Docker Engine answers at ${address.socketPath}`, {
    hint: "start dockerd, or choose '--runtime runc'",
  });
}
