import { type BigIntStats, closeSync, fstatSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { printable, toJsonText } from "../core/bytes.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { type Budget, type ImageLimits, startBudget } from "./limits.ts";
import { type OpenFolder, openRoot } from "./open-folder.ts";
import { type Code, scanOpenFile } from "./scan-file.ts";
import { MAX_PATH_BYTES } from "./schema.ts";
import type { FileType, TreeFile } from "./tree-digest.ts";

/** A file of a root file system, with the code that it is. */
export interface ScannedTreeFile extends TreeFile {
  readonly code: Code | null;
}

interface Walk {
  readonly budget: Budget;
  /** The file system that the root is on. */
  readonly device: bigint;
  readonly files: ScannedTreeFile[];
}

/**
 * Reads everything below a folder, in rising order of path bytes. No link is followed; nothing but regular files is
 * opened. Whatever cannot be read is `image-unreadable`, never left out; more than the limits is `image-too-large`.
 */
export async function readTree(root: string, limits?: Partial<ImageLimits>): Promise<ScannedTreeFile[]> {
  const folder = attempt(root, () => openRoot(root));
  try {
    const walk: Walk = { budget: startBudget(limits), device: folder.stats.dev, files: [] };
    await readFolder(walk, folder, Buffer.alloc(0), 1);
    return walk.files.sort((a, b) => Buffer.compare(a.path, b.path));
  } finally {
    folder.close();
  }
}

async function readFolder(walk: Walk, folder: OpenFolder, folderPath: Buffer, depth: number): Promise<void> {
  // Reading is synchronous; whoever shows progress beside it has a turn at each folder.
  await setImmediate();
  for (const name of attempt(show(folderPath), () => folder.names())) {
    walk.budget.file(depth);
    const path = Buffer.concat([folderPath, Buffer.from("/"), name]);
    if (path.length > MAX_PATH_BYTES) throw new PimsError("image-too-large", `a path is too long: ${show(path)}`);
    const stats = attempt(show(path), () => folder.lstat(name));
    walk.files.push(await readOne(walk, folder, { name, path, stats }));
    if (!stats.isDirectory()) continue;
    const inner = attempt(show(path), () => folder.openFolder(name));
    try {
      if (inner.stats.dev !== walk.device) {
        const hint = "unmount it, or build from a copy of the root file system that nothing is mounted in";
        throw new PimsError("image-unreadable", `another file system is mounted at ${show(path)}`, { hint });
      }
      await readFolder(walk, inner, path, depth + 1);
    } finally {
      inner.close();
    }
  }
}

interface Found {
  readonly name: Buffer;
  readonly path: Buffer;
  readonly stats: BigIntStats;
}

async function readOne(walk: Walk, folder: OpenFolder, { name, path, stats }: Found): Promise<ScannedTreeFile> {
  const file = { path, type: typeOf(stats), mode: Number(stats.mode & 0o7777n), code: null };
  switch (file.type) {
    case "file":
      return { ...file, ...(await readRegular(walk, folder, { name, path, stats })) };
    case "link":
      return { ...file, target: attempt(show(path), () => folder.readlink(name)) };
    case "character-device":
    case "block-device":
      return { ...file, device: deviceNumbers(stats.rdev) };
    default:
      return file;
  }
}

async function readRegular(
  { budget }: Walk,
  folder: OpenFolder,
  { name, path, stats }: Found,
): Promise<Pick<ScannedTreeFile, "size" | "sha256" | "code">> {
  const shown = show(path);
  budget.fileBytes(Number(stats.size), shown);
  budget.bytes(Number(stats.size));
  const fd = attempt(shown, () => folder.openFile(name));
  try {
    const same = (): boolean => {
      const now = fstatSync(fd, { bigint: true });
      return now.isFile() && now.ino === stats.ino && now.size === stats.size && now.ctimeNs === stats.ctimeNs;
    };
    const facts = { size: Number(stats.size), path: path.toString("latin1"), hashAlways: true };
    if (!same()) throw changed(shown);
    const { size, sha256, code } = await scanOpenFile(fd, facts, shown).catch((error: unknown) => {
      throw unreadable(shown, error);
    });
    if (!same() || sha256 === null) throw changed(shown);
    return { size, sha256, code };
  } finally {
    closeSync(fd);
  }
}

function typeOf(stats: BigIntStats): FileType {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "link";
  if (stats.isFIFO()) return "fifo";
  if (stats.isSocket()) return "socket";
  return stats.isBlockDevice() ? "block-device" : "character-device";
}

/** Linux's encoding of a device number in 64 bits (makedev(3)). */
function deviceNumbers(rdev: bigint): { major: number; minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): PimsError {
  if (cause instanceof PimsError) return cause;
  const why = { ENOENT: "does not exist", ENOTDIR: "is not a folder", EACCES: "may not be read" };
  const code = errorCode(cause) ?? "unknown error";
  const text = code in why ? why[code as keyof typeof why] : `cannot be read (${code})`;
  return new PimsError("image-unreadable", `${path} ${text}`, { cause });
}

function changed(path: string): PimsError {
  return new PimsError("image-unreadable", `${path} changed while it was being read`, {
    hint: "build the baseline from an image that nothing writes to",
  });
}

function show(path: Uint8Array): string {
  return path.length === 0 ? "/" : printable(toJsonText(path));
}
