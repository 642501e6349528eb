import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { copyFile, lstat, mkdir, open, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { inspectRuncContainer } from "../container/runc.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import type { DemoContainer, DemoRuntime, StartOptions } from "./containers.ts";
import { ociSpec } from "./oci-spec.ts";
import { ownerLabel, ownerMark } from "./owner.ts";
import { abandonedRunFolders, makeRunFolder, removeTree } from "./run-folder.ts";
import { runTool, toolPath } from "./run-tool.ts";
import { waitForPage } from "./wait-http.ts";

/** runc, an OCI bundle a container, each on an overlay of its own over the image's root file system. */
export async function openRuncRuntime(): Promise<DemoRuntime> {
  await runTool("runc", ["--version"]);
  for (const folder of await abandonedRunFolders()) await removeRun(folder);
  const run = await makeRunFolder();
  const bundle = (container: DemoContainer): string => join(run, container.ref.id);
  return {
    kind: "runc",
    namePattern: `${basename(run)}-*`,
    provideImage: async (image) => ({ name: image.name, identity: null, archive: null }),
    start: (options) => start(run, options),
    async exec(container, argv, env = {}) {
      const pidFile = join(bundle(container), `exec-${Date.now()}-${Math.random()}.pid`);
      const settings = Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
      await runc(bundle(container), [
        "exec",
        "--detach",
        "--pid-file",
        pidFile,
        ...settings,
        container.ref.id,
        ...argv,
      ]);
      return { pid: Number(await readFile(pidFile, "utf8")) };
    },
    copyIn: (container, hostFile, path, mode) => copyInto(join(bundle(container), "rootfs"), hostFile, path, mode),
    remove: (container) => removeContainer(bundle(container)),
    cleanup: () => removeRun(run),
  };
}

async function start(run: string, options: StartOptions): Promise<DemoContainer> {
  const id = `${basename(run)}-${options.name}`;
  const bundle = join(run, id);
  const socketPath = join(options.volume, "http.sock");
  for (const folder of ["upper", "work", "rootfs"]) await mkdir(join(bundle, folder), { recursive: true });
  // Names relative to the bundle: a path of the user's may hold the commas and colons that mount gives a meaning to.
  await symlink(options.image.rootfs, join(bundle, "lower"));
  const layers = "lowerdir=lower,upperdir=upper,workdir=work";
  await runTool("mount", ["-t", "overlay", "pims-demo", "-o", layers, join(bundle, "rootfs")], { cwd: bundle });
  const mark = ownerMark(basename(run));
  const annotations = { [ownerLabel]: mark, "pims.image": options.identity, "pims.image.name": options.image.name };
  const args = options.image.entrypoint;
  const spec = ociSpec({
    id,
    args,
    rootfs: join(bundle, "rootfs"),
    volume: options.volume,
    binds: options.binds,
    annotations,
  });
  await writeFile(join(bundle, "config.json"), JSON.stringify(spec));
  await runc(bundle, ["run", "--detach", "--bundle", bundle, id]);
  await (options.ready ?? (() => waitForPage(socketPath)))();
  return { ref: { runtime: "runc", id }, name: options.name, socketPath };
}

/** A detached container keeps the streams that runc was given, so they are a file and never a pipe to us. */
async function runc(bundle: string, args: readonly string[]): Promise<void> {
  const output = await open(join(bundle, "output.log"), "a");
  const log = join(bundle, "runc.log");
  try {
    const stdio = ["ignore", output.fd, output.fd] as const;
    const child = spawn("runc", ["--log", log, ...args], {
      stdio: [...stdio],
      env: { PATH: toolPath },
      timeout: 30_000,
    });
    const [status] = (await once(child, "exit")) as [number | null];
    if (status === 0) return;
  } finally {
    await output.close();
  }
  const last = (await readFile(log, "utf8").catch(() => "")).trim().split("\n").at(-1)?.slice(0, 500);
  throw new PimsError("runc-failed", `runc ${args[0]} failed: ${last || "it said nothing"}`);
}

/** Through the overlay, so the container's own page cache and inode see it, and through no link that a container could have set. */
async function copyInto(rootfs: string, hostFile: string, path: string, mode: number): Promise<void> {
  let folder = rootfs;
  for (const part of dirname(path).split("/").filter(Boolean)) {
    if (part === "..") throw new PimsError("bad-path", `${path} leads out of the container`);
    folder = join(folder, part);
    await mkdir(folder, { mode: 0o755 }).catch((error: unknown) => {
      if (errorCode(error) !== "EEXIST") throw error;
    });
    if (!(await lstat(folder)).isDirectory())
      throw new PimsError("bad-path", `${path} does not lead through plain folders`);
  }
  const target = join(folder, basename(path));
  await copyFile(hostFile, target, constants.COPYFILE_EXCL);
  const file = await open(target, constants.O_RDONLY | constants.O_NOFOLLOW);
  await file.chmod(mode).finally(() => file.close());
}

async function removeContainer(bundle: string): Promise<void> {
  const id = basename(bundle);
  const known = await inspectRuncContainer(id).catch(() => null);
  // The record must name this very bundle: an id alone could be somebody else's.
  if (known?.bundle === bundle) {
    // SIGKILL waits while a cgroup is frozen. Fails for a container that is not.
    await runTool("runc", ["resume", id]).catch(() => {});
    await runTool("runc", ["delete", "--force", id]);
  }
  await removeTree(bundle);
}

async function removeRun(run: string): Promise<void> {
  for (const name of await readdir(run).catch(() => [])) {
    if (name.startsWith(`${basename(run)}-`)) await removeContainer(join(run, name));
  }
  await rm(join(run, "owner"), { force: true });
  await removeTree(run);
}
