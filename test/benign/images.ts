import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256Hex } from "../../src/core/digest.ts";
import { errorCode } from "../../src/core/errors.ts";
import { resolvePackages, unpackPackages } from "../../src/demo/debian-packages.ts";
import { runTool } from "../../src/demo/run-tool.ts";

/** How an image of the corpus is made. */
export interface Recipe {
  /** Debian packages; what they depend on comes along. Their scripts are not run. */
  readonly packages: readonly string[];
  /** Text by path. What starts with `#!` can be executed. */
  readonly files?: Readonly<Record<string, string>>;
  /** Programs of this machine by path in the image. */
  readonly programs?: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  /** What the image says that it listens on: `tcp/80`. */
  readonly ports?: readonly string[];
}

// The last two spare the images an init system, which others of the packages would otherwise depend on.
const base = ["dash", "coreutils", "usr-is-merged", "systemd-standalone-tmpfiles"];

const accounts = [
  ["root", 0],
  ["www-data", 33],
  ["postgres", 101],
  ["mysql", 102],
  ["nobody", 65534],
] as const;

const common: Readonly<Record<string, string>> = {
  "etc/passwd": accounts.map(([name, id]) => `${name}:x:${id}:${id}:${name}:/tmp:/bin/sh\n`).join(""),
  "etc/group": accounts.map(([name, id]) => `${name}:x:${id}:\n`).join(""),
  "etc/hosts": "127.0.0.1 localhost\n",
};

let turn: Promise<unknown> = Promise.resolve();

/**
 * The root file system of an image, kept for the next run. Images share the files of one tree with what all of them
 * have. They are made one at a time.
 */
export function makeImage(name: string, recipe: Recipe): Promise<string> {
  const made = turn.then(() => provide(name, recipe));
  turn = made.catch(() => undefined);
  return made;
}

async function provide(name: string, recipe: Recipe): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME || "/var/cache", "pims");
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const source = await readFile(import.meta.filename, "utf8");
  const key = (what: unknown): string =>
    sha256Hex(JSON.stringify([source, what, release, process.version, process.arch])).slice(0, 16);
  const baseTree = join(cache, `benign-base-${key(null)}`);
  await once(cache, baseTree, async (draft) => unpackPackages(await resolvePackages(base), draft));
  const tree = join(cache, `benign-${name}-${key(recipe)}`);
  await once(cache, tree, async (draft) => {
    const inBase = new Set(await resolvePackages(base));
    const packages = await resolvePackages([...base, ...recipe.packages]);
    const layer = `${draft}.layer`;
    await unpackPackages(
      packages.filter((one) => !inBase.has(one)),
      layer,
    );
    await runTool("cp", ["-al", baseTree, draft]);
    await runTool("cp", ["-al", "--remove-destination", `${layer}/.`, draft]);
    await rm(layer, { recursive: true });
    await addFiles(recipe, draft);
  });
  return tree;
}

async function addFiles({ files = {}, programs = {} }: Recipe, rootfs: string): Promise<void> {
  for (const folder of ["dev", "proc", "sys", "run/web", "tmp", "root", "var/log", "var/tmp"])
    await mkdir(join(rootfs, folder), { recursive: true });
  await symlink("/run", join(rootfs, "var/run"));
  for (const folder of ["tmp", "var/tmp"]) await chmod(join(rootfs, folder), 0o1777);
  for (const [path, text] of Object.entries({ ...common, ...files })) {
    const target = join(rootfs, path);
    await mkdir(dirname(target), { recursive: true });
    // It may share its bytes with other images.
    await rm(target, { force: true });
    await writeFile(target, text, { mode: text.startsWith("#!") ? 0o755 : 0o644 });
  }
  for (const [path, file] of Object.entries(programs)) {
    await mkdir(dirname(join(rootfs, path)), { recursive: true });
    await copyFile(file, join(rootfs, path));
    await chmod(join(rootfs, path), 0o755);
  }
}

/** Makes a tree beside its final place and moves the whole there at the end; then the ones of older recipes go. */
async function once(cache: string, tree: string, make: (draft: string) => Promise<void>): Promise<void> {
  if (await exists(tree)) return;
  // The name under which the demo, too, finds and removes what killed runs left.
  const draft = join(cache, `building-${process.pid}-${Date.now()}`);
  await mkdir(draft, { recursive: true });
  try {
    const rootfs = join(draft, "rootfs");
    await make(rootfs);
    await rename(rootfs, tree).catch((error: unknown) => {
      // Another run was faster; its tree is the same.
      if (errorCode(error) !== "ENOTEMPTY" && errorCode(error) !== "EEXIST") throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  const prefix = tree.slice(0, -"-0123456789abcdef".length);
  for (const name of await readdir(cache)) {
    const other = join(cache, name);
    if (other !== tree && other.length === tree.length && other.startsWith(`${prefix}-`))
      await rm(other, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
