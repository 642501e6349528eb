import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Baseline } from "../src/baseline/lines.ts";
import { type DemoContainer, type DemoRuntime, openDemoRuntime } from "../src/demo/containers.ts";
import type { RootImage } from "../src/demo/images.ts";
import type { Platform } from "../src/demo/platform.ts";
import { runTool } from "../src/demo/run-tool.ts";
import { makeImage, type Recipe } from "../test/benign/images.ts";
import type { Site } from "../test/benign/site.ts";

/** An image whose baseline is approved. */
export interface BenchImage {
  readonly root: RootImage;
  readonly baseline: Baseline;
}

const ROUND_MS = 120_000;

/** Containers of runc, each on an overlay of its own, of images whose baselines two publishers signed. */
export class Containers {
  readonly #runtime: DemoRuntime;
  readonly #folder: string;
  readonly #platform: Platform;
  #count = 0;

  private constructor(runtime: DemoRuntime, folder: string, platform: Platform) {
    this.#runtime = runtime;
    this.#folder = folder;
    this.#platform = platform;
  }

  static async open(folder: string, platform: Platform): Promise<Containers> {
    return new Containers(await openDemoRuntime({ kind: "runc" }), folder, platform);
  }

  /** Matches the names of its containers, and of no others on this machine. */
  get names(): string {
    return this.#runtime.namePattern;
  }

  async image(recipe: Recipe): Promise<BenchImage> {
    const { name, entrypoint, ports = [] } = recipe;
    const root = { name: `pims-bench/${name}`, rootfs: await makeImage(recipe), entrypoint, ports };
    return { root, baseline: await this.#platform.publishBaseline(this.#runtime, root) };
  }

  /** Starts a container; `files` are what it finds in /run/web. It may not be ready yet. */
  async start({ root, baseline }: BenchImage, files: Readonly<Record<string, string>> = {}): Promise<Running> {
    const name = `${root.name.replaceAll("/", "-")}-${this.#count++}`;
    const volume = join(this.#folder, name);
    await mkdir(volume, { mode: 0o755 });
    for (const [file, text] of Object.entries(files)) await writeFile(join(volume, file), text);
    const { identity } = baseline.header;
    const container = await this.#runtime.start({ name, image: root, identity, volume, ready: async () => {} });
    return new Running(this.#runtime, container, root.rootfs, volume);
  }

  /** Removes all of them. */
  close(): Promise<void> {
    return this.#runtime.cleanup();
  }
}

/** A running container, and what its load can do with it. */
export class Running implements Site {
  readonly #runtime: DemoRuntime;
  readonly #container: DemoContainer;
  readonly rootfs: string;
  readonly volume: string;

  constructor(runtime: DemoRuntime, container: DemoContainer, rootfs: string, volume: string) {
    this.#runtime = runtime;
    this.#container = container;
    this.rootfs = rootfs;
    this.volume = volume;
  }

  get ref() {
    return this.#container.ref;
  }

  async pid(): Promise<number> {
    return (JSON.parse(await this.runtime("state")) as { pid: number }).pid;
  }

  exec(...argv: string[]): Promise<string> {
    return runTool("runc", ["exec", this.ref.id, ...argv], { timeoutMs: ROUND_MS });
  }

  runtime(command: string, ...options: string[]): Promise<string> {
    return runTool("runc", [command, ...options, this.ref.id], { timeoutMs: ROUND_MS });
  }

  afterwards(): never {
    throw new Error("nothing is left on the host by what is measured");
  }

  remove(): Promise<void> {
    return this.#runtime.remove(this.#container);
  }
}
