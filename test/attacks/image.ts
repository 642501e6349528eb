import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256Hex } from "../../src/core/digest.ts";
import { errorCode } from "../../src/core/errors.ts";
import { resolvePackages, unpackPackages } from "../../src/demo/debian-packages.ts";
import type { RootImage } from "../../src/demo/images.ts";
import { runTool } from "../../src/demo/run-tool.ts";
import { tinyLibrary } from "./tiny-library.ts";
import { TINY_PROGRAMS, tinyProgram } from "./tiny-program.ts";

// Python makes every system call without compiling; `mount` is for attacks from the host.
const packages = [
  "python3-minimal",
  "libpython3-stdlib",
  "mount",
  "dash",
  "coreutils",
  "usr-is-merged",
  "systemd-standalone-tmpfiles",
];

/** Where the attacks' programs are in the image. */
export const PAYLOADS = "/usr/local/lib/attacks";
const SERVER = "/usr/local/bin/server";
/** A listed program that nothing but one attack starts: what is done to its file touches nobody else. */
export const SPARE_PROGRAM = "/usr/local/bin/spare";
/** A small listed library of two pages, of which the second is spare code. */
const SPARE_LIBRARY = "/usr/local/lib/spare.so";

/**
 * The image of the lab: Python, a shell, coreutils, and every attack's own program. Those are part of the image, so that
 * only what an attack *does* is foreign. Made in `folder`, over a tree of packages that is kept for the next run.
 */
export async function makeLabImage(corpus: string, folder: string): Promise<RootImage> {
  const rootfs = join(folder, "lab");
  await runTool("cp", ["-a", "--reflink=auto", await baseTree(), rootfs]);
  const payloads = join(rootfs, PAYLOADS);
  await mkdir(payloads, { recursive: true });
  await copyFile(join(corpus, "lab.py"), join(payloads, "lab.py"));
  for (const entry of await readdir(corpus, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const target = join(payloads, entry.name);
    const found = await copyFile(join(corpus, entry.name, "payload.py"), target).catch((error: unknown) => {
      // Not every attack runs a program of its own inside.
      if (errorCode(error) !== "ENOENT") throw error;
      return false;
    });
    if (found !== false) await chmod(target, 0o755);
  }
  await mkdir(dirname(join(rootfs, SERVER)), { recursive: true });
  await copyFile(join(corpus, "server.py"), join(rootfs, SERVER));
  await chmod(join(rootfs, SERVER), 0o755);
  for (const kind of TINY_PROGRAMS) {
    // Not for every processor.
    if (kind === "32bit" && process.arch !== "x64") continue;
    await writeFile(join(rootfs, "usr/local/bin", kind), tinyProgram(kind), { mode: 0o755 });
  }
  await writeFile(join(rootfs, SPARE_PROGRAM), Buffer.concat([tinyProgram("static"), Buffer.from("spare")]), {
    mode: 0o755,
  });
  await mkdir(join(rootfs, dirname(SPARE_LIBRARY)), { recursive: true });
  await writeFile(join(rootfs, SPARE_LIBRARY), tinyLibrary(8192), { mode: 0o644 });
  return { name: "pims-attacks/lab", rootfs, entrypoint: [SERVER] };
}

async function baseTree(): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME || "/var/cache", "pims");
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const folder = join(cache, `attacks-${sha256Hex(JSON.stringify([packages, release, process.arch])).slice(0, 16)}`);
  if (await exists(folder)) return folder;
  // The name under which the demo, too, finds and removes what killed runs left.
  const draft = join(cache, `building-${process.pid}-${Date.now()}`);
  await mkdir(draft, { recursive: true });
  try {
    const rootfs = join(draft, "rootfs");
    await unpackPackages(await resolvePackages(packages), rootfs);
    for (const path of ["dev", "proc", "sys", "run/web", "tmp", "root"])
      await mkdir(join(rootfs, path), { recursive: true });
    await chmod(join(rootfs, "tmp"), 0o1777);
    await writeFile(join(rootfs, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    await rename(rootfs, folder).catch((error: unknown) => {
      // Another run was faster; its tree is the same.
      if (errorCode(error) !== "ENOTEMPTY" && errorCode(error) !== "EEXIST") throw error;
    });
    return folder;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
