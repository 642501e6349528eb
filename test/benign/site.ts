import { setTimeout as sleep } from "node:timers/promises";
import type { ContainerRef } from "../../src/container/types.ts";
import { describeError } from "../../src/core/errors.ts";
import { runTool } from "../../src/demo/run-tool.ts";
import { makeImage } from "./images.ts";

/** A running container of the corpus, and what its case can do with it. */
export interface Site {
  readonly ref: ContainerRef;
  /** Root file system of the image, which the container has an overlay on. */
  readonly rootfs: string;
  /** Programs that the image does not have are refused. */
  readonly enforced?: boolean;
  /** Folder of the host that the container has at /run/web. */
  readonly volume: string;
  /** The host's number of the container's first process. */
  pid(): Promise<number>;
  /** Runs a program in the container to its end and returns what it printed. Throws when it fails. */
  exec(...argv: string[]): Promise<string>;
  /** Runs a command of the container's runtime on the container: `pause`, `restart`. */
  runtime(command: string, ...options: string[]): Promise<string>;
  /** What has to be ended on the host once the case is over. */
  afterwards(end: () => Promise<void>): void;
}

const PATIENCE_MS = 90_000;
const ROUND_MS = 60_000;

/** Runs a client that is not the container's own in the container's network, to its end. */
async function client(site: Site, ...argv: string[]): Promise<string> {
  const tools = await makeImage({ name: "clients", packages: ["apache2-utils"], entrypoint: [] });
  const network = `--net=/proc/${await site.pid()}/ns/net`;
  return runTool("nsenter", [network, "chroot", tools, ...argv], { timeoutMs: ROUND_MS });
}

export interface Requests {
  readonly count: number;
  readonly port?: number;
  readonly path?: string;
  readonly keepAlive?: boolean;
}

/** Requests over HTTP from a second process, four at a time. Every one must be answered with 200. Returns how many were. */
export async function request(site: Site, options: Requests): Promise<number> {
  const { count, port = 80, path = "/", keepAlive = false } = options;
  const url = `http://127.0.0.1:${port}${path}`;
  const settings = ["-q", "-l", "-r", "-s", "20", "-n", `${count}`, "-c", `${Math.min(4, count)}`];
  const report = await client(site, "/usr/bin/ab", ...settings, ...(keepAlive ? ["-k"] : []), url);
  const figure = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)$`, "m").exec(report)?.[1] ?? 0);
  const failed = figure("Failed requests") + figure("Non-2xx responses") + figure("Write errors");
  if (failed > 0 || figure("Complete requests") !== count)
    throw new Error(`${failed} of ${count} requests to ${path} were not answered as they ought to be`);
  return count;
}

/** Waits until a server answers one request. */
export async function answers(site: Site, options: Omit<Requests, "count"> = {}): Promise<void> {
  await until("an answer", () => request(site, { ...options, count: 1 }));
}

/** Tries until it succeeds. */
export async function until(what: string, attempt: () => Promise<unknown>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; ; await sleep(200)) {
    try {
      return void (await attempt());
    } catch (error) {
      if (performance.now() > end) throw new Error(`${what} did not come: ${describeError(error)}`);
    }
  }
}
