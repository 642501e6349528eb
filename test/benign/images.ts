import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256Hex } from "../../src/core/digest.ts";
import { errorCode } from "../../src/core/errors.ts";
import { resolvePackages, unpackPackages } from "../../src/demo/debian-packages.ts";
import { runTool } from "../../src/demo/run-tool.ts";

/** How an image of the corpus is made. */
export interface Recipe {
  /** Cases that name the same image share it. */
  readonly name: string;
  /** Debian packages; what they depend on comes along. Their scripts are not run. */
  readonly packages: readonly string[];
  /** dpkg knows the packages as installed. */
  readonly knowsPackages?: boolean;
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

const KEPT_MS = 7 * 24 * 3600 * 1000;
const made = new Map<string, Promise<string>>();
let turn: Promise<unknown> = Promise.resolve();

/**
 * The root file system of an image, kept for the next run. Images share the files of one tree with what all of them
 * have. They are made one at a time.
 */
export function makeImage(recipe: Recipe): Promise<string> {
  const known = made.get(recipe.name);
  if (known !== undefined) return known;
  const image = turn.then(() => provide(recipe));
  made.set(recipe.name, image);
  turn = image.catch(() => made.delete(recipe.name));
  return image;
}

async function provide(recipe: Recipe): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME || "/var/cache", "pims");
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const source = await readFile(import.meta.filename, "utf8");
  const key = (what: unknown): string =>
    sha256Hex(JSON.stringify([source, what, release, process.version, process.arch])).slice(0, 16);
  const baseTree = join(cache, `software-base-${key(null)}`);
  await once(cache, baseTree, async (draft) => unpackPackages(await resolvePackages(base), draft));
  const tree = join(cache, `software-${recipe.name}-${key(recipe)}`);
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
    if (recipe.knowsPackages) await addPackageStatus(packages, draft);
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

async function addPackageStatus(packages: readonly string[], rootfs: string): Promise<void> {
  const descriptions = await runTool("apt-cache", ["show", "--no-all-versions", ...packages]);
  const status = descriptions
    .replaceAll(/^(Filename|Size|MD5sum|SHA256): .*\n/gm, "")
    .replaceAll(/^Package: .*$/gm, "$&\nStatus: install ok installed");
  await mkdir(join(rootfs, "var/lib/dpkg"), { recursive: true });
  await writeFile(join(rootfs, "var/lib/dpkg/status"), status);
}

/** Makes a tree beside its final place and moves the whole there at the end. Trees that nobody has used for a week go. */
async function once(cache: string, tree: string, make: (draft: string) => Promise<void>): Promise<void> {
  if (!(await exists(tree))) {
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
  }
  const now = new Date();
  await utimes(tree, now, now);
  for (const name of await readdir(cache)) {
    if (!name.startsWith("software-")) continue;
    const { mtimeMs } = await stat(join(cache, name));
    if (now.getTime() - mtimeMs > KEPT_MS) await rm(join(cache, name), { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
