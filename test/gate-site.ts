import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { buildFromFolder } from "../src/baseline/build.ts";
import type { DockerAddress } from "../src/container/docker-http.ts";
import type { ContainerRef } from "../src/container/types.ts";
import { errorCode } from "../src/core/errors.ts";
import { type DemoContainer, type DemoRuntime, openDemoRuntime } from "../src/demo/containers.ts";
import { type DemoImages, prepareImages } from "../src/demo/images.ts";
import type { GateMode, GateState, Refusal, Unanswered } from "../src/measure/gate/protocol.ts";
import { GateSupervisor, type NamedFiles } from "../src/measure/gate/supervisor.ts";
import { temporaryFolder } from "./pims.ts";

const PATIENCE_MS = 30_000;

/** A gate and runc containers. It leaves the containers of others alone. */
export class GateSite {
  readonly refusals: Refusal[] = [];
  readonly gaps: string[] = [];
  readonly unjudged: ContainerRef[] = [];
  mode: GateMode = "enforce";
  states: readonly GateState[] = [];
  images!: DemoImages;
  runtime!: DemoRuntime;
  supervisor!: GateSupervisor;
  files!: NamedFiles;
  /** Ids of containers that another engine runs for the test. */
  readonly ours = new Set<string>();
  readonly #folder: string;
  #count = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(t: TestContext, unanswered: Unanswered = "deny", docker?: DockerAddress): Promise<GateSite> {
    const site = new GateSite(temporaryFolder(t));
    site.images = await prepareImages();
    const { entries } = await buildFromFolder({ root: site.images.web.rootfs, name: "web" });
    site.files = {
      name: "web",
      digests: new Set(entries.map(({ sha256 }) => sha256)),
      sizes: new Set(entries.map(({ size }) => size)),
    };
    site.runtime = await openDemoRuntime(docker ? { kind: "docker", docker } : { kind: "runc" });
    if (docker) await site.runtime.provideImage(site.images.web);
    site.supervisor = new GateSupervisor(unanswered, {
      onAsk: (container) => site.settle(container),
      onRefused: (refusal) => void site.refusals.push(refusal),
      onUnjudged: (container) => void site.unjudged.push(container),
      onStates: (states) => {
        site.states = states;
      },
      onGap: (text) => void site.gaps.push(text),
    });
    // Whatever is wrong, nobody waits for a gate any more.
    t.after(() => site.supervisor.close());
    // Of an engine that ends with the test it has to be done before.
    if (!docker) t.after(() => site.runtime.cleanup());
    await site.supervisor.watching;
    return site;
  }

  settle(container: ContainerRef): void {
    // Of Docker's containers it is known only now that they are; a test's own engine runs no others.
    const mine =
      this.runtime.kind === "docker"
        ? container.runtime === "docker"
        : this.ours.has(container.id) || container.id.startsWith(this.runtime.namePattern.slice(0, -1));
    if (mine) this.supervisor.settle(container, { mode: this.mode, reference: { baseline: "web" } }, this.files);
    else this.supervisor.settle(container, { mode: "off", reference: "none" }, null);
  }

  async start(name: string): Promise<DemoContainer> {
    const volume = this.volume(name);
    await mkdir(volume);
    return this.runtime.start({ name, image: this.images.web, identity: `sha256:${"0".repeat(64)}`, volume });
  }

  /** Folder of the host that the container has at /run/web. */
  volume(name: string): string {
    return join(this.#folder, name);
  }

  /** Runs a shell's commands in the container to their end: their output, and the exit status in the last line. */
  async run(container: DemoContainer, commands: string): Promise<string[]> {
    const name = `out-${this.#count++}`;
    const script = `{ ${commands}\n} >/run/web/${name}.part 2>&1; echo $? >>/run/web/${name}.part; mv /run/web/${name}.part /run/web/${name}`;
    await this.runtime.exec(container, ["/bin/sh", "-c", script]);
    const path = join(this.volume(container.name), name);
    const text = await until(`the end of ${commands}`, () => readIf(path));
    return text.trimEnd().split("\n");
  }

  stateOf({ ref }: DemoContainer): GateState | undefined {
    return this.states.find(({ container }) => container.id === ref.id);
  }

  /** The state once it is as wished. */
  state(container: DemoContainer, wished: (state: GateState) => boolean): Promise<GateState> {
    return until("the gate's state", () => {
      const state = this.stateOf(container);
      return state !== undefined && wished(state) ? state : null;
    });
  }
}

export async function until<T>(what: string, look: () => T | null | Promise<T | null>): Promise<T> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await sleep(20)) {
    const found = await look();
    if (found !== null) return found;
  }
  throw new Error(`${what} did not come`);
}

export async function readIf(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
