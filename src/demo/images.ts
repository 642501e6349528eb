import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256Hex } from "../core/digest.ts";
import { errorCode } from "../core/errors.ts";
import { resolvePackages, unpackPackages } from "./debian-packages.ts";
import { type ImageRecipe, recipes } from "./image-recipes.ts";

/** An image as a folder that holds its root file system. Nobody writes to it once it is made. */
export interface RootImage {
  readonly name: string;
  readonly rootfs: string;
  readonly entrypoint: readonly string[];
  /** What the image says that it listens on: `tcp/80`. */
  readonly ports?: readonly string[];
}

export interface DemoImages {
  readonly web: RootImage;
  readonly app: RootImage;
  /** A program that neither image contains; needs the C library only. */
  readonly dropper: string;
  /** A shared library that neither image contains. */
  readonly injectedLibrary: string;
}

export interface ImageOptions {
  readonly cacheFolder?: string;
  readonly onProgress?: (text: string) => void;
}

/**
 * The demo's images, made from this machine's Debian packages and kept for the next run. Throws `tool-missing` where
 * there is no apt and `tool-failed` when a package cannot be had.
 */
export async function prepareImages(options: ImageOptions = {}): Promise<DemoImages> {
  const cache = options.cacheFolder ?? join(process.env.XDG_CACHE_HOME || "/var/cache", "pims");
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const key = sha256Hex(JSON.stringify([recipes, release, process.arch])).slice(0, 16);
  const folder = join(cache, `images-${key}`);
  if (!(await exists(folder))) await build(cache, folder, options.onProgress ?? (() => {}));
  const image = (recipe: ImageRecipe): RootImage => {
    return { name: recipe.name, rootfs: join(folder, recipe.folder), entrypoint: recipe.entrypoint };
  };
  return {
    web: image(recipes.web),
    app: image(recipes.app),
    dropper: join(folder, "attack/usr/bin/nc.traditional"),
    injectedLibrary: join(folder, "attack/libinjected.so"),
  };
}

/** Builds beside the final place and moves the whole there at the end, so that a half-made image is never used. */
async function build(cache: string, folder: string, progress: (text: string) => void): Promise<void> {
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  const draft = join(cache, `building-${process.pid}-${Date.now()}`);
  await mkdir(draft);
  try {
    for (const recipe of [recipes.web, recipes.app]) {
      progress(`making the image ${recipe.name} from Debian packages`);
      await buildImage(recipe, join(draft, recipe.folder));
    }
    progress("fetching a program and a library that are in no image");
    const attack = join(draft, "attack");
    await unpackPackages(recipes.attack.packages, attack);
    await copyFile(await findFile(attack, recipes.attack.library), join(attack, "libinjected.so"));
    await rename(draft, folder).catch((error: unknown) => {
      // Another run was faster; its images are the same.
      if (errorCode(error) !== "ENOTEMPTY" && errorCode(error) !== "EEXIST") throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function buildImage(recipe: ImageRecipe, rootfs: string): Promise<void> {
  await unpackPackages(await resolvePackages(recipe.packages), rootfs);
  for (const folder of ["dev", "proc", "sys", "run/web", "tmp", "root"]) {
    await mkdir(join(rootfs, folder), { recursive: true });
  }
  await chmod(join(rootfs, "tmp"), 0o1777);
  for (const [path, text] of Object.entries(recipe.files)) {
    await mkdir(dirname(join(rootfs, path)), { recursive: true });
    await writeFile(join(rootfs, path), text, { mode: 0o644 });
  }
  const program = join(rootfs, recipe.entrypoint[0]!);
  await mkdir(dirname(program), { recursive: true });
  await copyFile(join(rootfs, recipe.program), program);
}

/** Drafts of runs that were killed. A number that has been given to another process only delays their end. */
async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const pid = /^building-(\d+)-\d+$/.exec(name)?.[1];
    if (pid !== undefined && !(await exists(`/proc/${pid}`)))
      await rm(join(cache, name), { recursive: true, force: true });
  }
}

async function findFile(folder: string, name: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const found = entries.find((entry) => entry.name === name);
  return found ? join(found.parentPath, found.name) : join(folder, name);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
