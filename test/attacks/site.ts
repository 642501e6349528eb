import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspectRuncContainer } from "../../src/container/runc.ts";
import { errorCode } from "../../src/core/errors.ts";
import type { DemoContainer, DemoRuntime } from "../../src/demo/containers.ts";
import type { DemoImages } from "../../src/demo/images.ts";
import { processesOf } from "../../src/demo/patch-memory.ts";
import { PAYLOADS } from "./image.ts";

/** What an attack's program says when it has come to a point. Numbers of processes are the container's own. */
export interface Said {
  readonly pid: number;
  readonly [fact: string]: unknown;
}

const PATIENCE_MS = 15_000;

/** A running container for one attack, and what a driver on the host can do with it. */
export interface Site {
  readonly container: DemoContainer;
  readonly runtime: DemoRuntime;
  readonly images: DemoImages;
  /** Folder of the host that the container has at /run/web. */
  readonly volume: string;
  /** A folder of the host for files that an attack makes. */
  readonly folder: string;
  /** Starts this attack's own program in the container; returns its number on the host. */
  payload(...args: string[]): Promise<number>;
  exec(argv: readonly string[], env?: Readonly<Record<string, string>>): Promise<number>;
  copyIn(hostFile: string, path: string, mode?: number): Promise<void>;
  /** Waits until the attack's program has said a word. */
  said(word: string): Promise<Said>;
  /** Says a word to the attack's program. */
  go(word: string): Promise<void>;
  /** The host's number of a process that the container numbers so. */
  hostPid(inside: number): number;
  /** One sweep by every method, as it would happen to come in between. */
  sweep(): Promise<void>;
  /** What has to be ended on the host once the attack has been looked at. */
  afterwards(end: () => Promise<void>): void;
}

export function openSite(
  name: string,
  parts: Pick<Site, "container" | "runtime" | "images" | "volume" | "folder" | "sweep" | "afterwards">,
): Site {
  const { container, runtime, volume } = parts;
  const exec = async (argv: readonly string[], env?: Readonly<Record<string, string>>) =>
    (await runtime.exec(container, argv, env)).pid;
  return {
    ...parts,
    payload: (...args) => exec([join(PAYLOADS, name), ...args]),
    exec,
    copyIn: (file, path, mode = 0o755) => runtime.copyIn(container, file, path, mode),
    async said(word) {
      for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await sleep(5)) {
        try {
          const text = await readFile(join(volume, `${word}.said`), "utf8");
          // A shell makes the file first and writes into it after.
          if (text !== "") return JSON.parse(text);
        } catch (error) {
          if (errorCode(error) !== "ENOENT") throw error;
        }
      }
      throw new Error(`the attack's program did not say ${word}; the last words are: ${await lastWords(container)}`);
    },
    go: (word) => writeFile(join(volume, `${word}.go`), ""),
    hostPid(inside) {
      const pid = processesOf(container.ref).find((one) => pidInside(one) === inside);
      if (pid === undefined) throw new Error(`the container has no process ${inside}`);
      return pid;
    },
  };
}

async function lastWords(container: DemoContainer): Promise<string> {
  const { bundle } = await inspectRuncContainer(container.ref.id);
  const output = await readFile(join(bundle ?? "", "output.log"), "utf8").catch(() => "");
  return output.trim().split("\n").at(-1) || "none";
}

function pidInside(pid: number): number | undefined {
  try {
    // The second number: a process may have further namespaces of its own.
    return Number(/^NSpid:\t\d+\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** Waits until something is so. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds()); await sleep(5))
    if (performance.now() > end) throw new Error(`${what} did not come to be`);
}
