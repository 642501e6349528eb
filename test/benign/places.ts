import { inspectContainer } from "../../src/container/docker.ts";
import { inspectRuncContainer } from "../../src/container/runc.ts";
import type { ContainerInfo, ContainerRef } from "../../src/container/types.ts";
import { type DemoRuntime, openDemoRuntime } from "../../src/demo/containers.ts";
import { runTool } from "../../src/demo/run-tool.ts";
import { startDockerd } from "../dockerd.ts";

export interface PlaceOptions {
  readonly name: string;
  readonly image: string;
  readonly rootfs: string;
  readonly entrypoint: readonly string[];
  readonly identity: string;
  readonly volume: string;
  /** Options of `docker create`. */
  readonly options: readonly string[];
  /** Called before the first process of the container executes anything. */
  onCreate(ref: ContainerRef): void;
}

/** A started container. */
export interface Placed {
  readonly ref: ContainerRef;
  /** What the runtime says about it now. */
  inspect(): Promise<ContainerInfo>;
  pid(): Promise<number>;
  exec(argv: readonly string[]): Promise<string>;
  runtime(command: string, options: readonly string[]): Promise<string>;
  remove(): Promise<void>;
}

/** Where containers run. */
export interface Place {
  start(options: PlaceOptions): Promise<Placed>;
  close(): Promise<void>;
}

const ROUND_MS = 60_000;

export async function openRunc(): Promise<Place> {
  const runtime: DemoRuntime = await openDemoRuntime({ kind: "runc" });
  return {
    async start({ name, image, rootfs, entrypoint, identity, volume, onCreate }) {
      const ref: ContainerRef = { runtime: "runc", id: runtime.namePattern.replace("*", name) };
      onCreate(ref);
      const ready = async () => {};
      const container = await runtime.start({
        name,
        image: { name: `pims-benign/${image}`, rootfs, entrypoint },
        identity,
        volume,
        ready,
      });
      const runc = (...args: string[]) => runTool("runc", args, { timeoutMs: ROUND_MS });
      return {
        ref,
        inspect: () => inspectRuncContainer(ref.id),
        pid: async () => (JSON.parse(await runc("state", ref.id)) as { pid: number }).pid,
        exec: (argv) => runc("exec", ref.id, ...argv),
        runtime: (command, options) => runc(command, ...options, ref.id),
        remove: () => runtime.remove(container),
      };
    },
    close: () => runtime.cleanup(),
  };
}

/** A Docker Engine of the run's own. */
export async function openDocker(): Promise<Place> {
  const ends: (() => unknown)[] = [];
  const { socketPath } = await startDockerd({ after: (end: () => unknown) => void ends.push(end) } as never);
  const docker = (...args: string[]) =>
    runTool("docker", ["--host", `unix://${socketPath}`, ...args], { timeoutMs: ROUND_MS });
  return {
    async start({ name, image, rootfs, entrypoint, volume, options, onCreate }) {
      const entry = `ENTRYPOINT ${JSON.stringify(entrypoint)}`;
      const lines = 'tar -C "$1" -c . | docker --host "unix://$2" import --change "$3" - "$4"';
      const tag = `pims-benign/${image}`;
      await runTool("bash", ["-o", "pipefail", "-c", lines, "import", rootfs, socketPath, entry, tag]);
      const mount = `${volume}:/run/web`;
      const created = await docker(
        "create",
        ...["--network", "none", "--name", name, "--volume", mount],
        ...options,
        tag,
      );
      const id = created.trim();
      const ref: ContainerRef = { runtime: "docker", id };
      onCreate(ref);
      await docker("start", id);
      return {
        ref,
        inspect: () => inspectContainer(id, { socketPath }),
        pid: async () => Number(await docker("inspect", "--format", "{{.State.Pid}}", id)),
        exec: (argv) => docker("exec", id, ...argv),
        runtime: (command, args) => docker(command, ...args, id),
        remove: async () => void (await docker("rm", "--force", "--volumes", id)),
      };
    },
    async close() {
      for (const end of ends) await end();
    },
  };
}
