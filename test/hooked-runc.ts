import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { ociSpec } from "../src/demo/oci-spec.ts";
import { removeTree } from "../src/demo/run-folder.ts";
import { runTool } from "../src/demo/run-tool.ts";
import { type GateSite, readIf } from "./gate-site.ts";

const run = promisify(execFile);

/** A program that tells that it ran; the image does not have it. */
export async function putForeign(site: Pick<GateSite, "images">, folder: string): Promise<void> {
  await cp(join(site.images.web.rootfs, "bin/touch"), join(folder, "foreign"));
  await run("sh", ["-c", `echo >>"$1"`, "sh", join(folder, "foreign")]);
}

/** Starts a container by `runc run` with a hook of the stage createRuntime, in a folder of its own; what runc said. */
export async function runHooked(
  site: Pick<GateSite, "images" | "runtime">,
  owner: Pick<TestContext, "after">,
  options: {
    name: string;
    args: string[];
    volume: string;
    root: "overlay" | "plain";
    hook: object | null;
    foreignIn?: "image" | "volume";
  },
): Promise<{ id: string; said: string; tookMs: number }> {
  const id = `${site.runtime.namePattern.slice(0, -1)}${options.name}`;
  const bundle = await mkdtemp(join(tmpdir(), "pims-gs-"));
  owner.after(async () => {
    await runTool("runc", ["delete", "--force", id]).catch(() => {});
    await removeTree(bundle);
  });
  const rootfs = join(bundle, "rootfs");
  if (options.root === "plain") await run("cp", ["-a", site.images.web.rootfs, rootfs]);
  else {
    for (const folder of ["upper", "work", "rootfs"]) await mkdir(join(bundle, folder));
    const layers = `lowerdir=${site.images.web.rootfs},upperdir=${bundle}/upper,workdir=${bundle}/work`;
    await runTool("mount", ["-t", "overlay", "pims-test", "-o", layers, rootfs]);
  }
  const { args, volume, hook, foreignIn } = options;
  if (foreignIn === "image") await putForeign(site, rootfs);
  const spec = ociSpec({ id, args, rootfs, volume, annotations: {} });
  await writeFile(
    join(bundle, "config.json"),
    JSON.stringify({ ...spec, hooks: { createRuntime: hook === null ? [] : [hook] } }),
  );
  const log = join(bundle, "log");
  // A detached container keeps the streams, so they are no pipe to us.
  const command = `runc --log ${log} run --detach --bundle ${bundle} ${id} </dev/null >${bundle}/out 2>&1`;
  const begin = performance.now();
  await run("sh", ["-c", command]).catch(() => {});
  const tookMs = performance.now() - begin;
  return { id, tookMs, said: `${await readIf(join(bundle, "out"))}${(await readIf(log)) ?? ""}` };
}
