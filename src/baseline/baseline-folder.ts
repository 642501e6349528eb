import { lstat, mkdir, readdir, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toHex } from "../core/bytes.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { DERIVATION } from "./assemble.ts";
import { readBaselineFile, writeBaselineFile } from "./file.ts";
import type { Baseline } from "./lines.ts";

const MAX_TOTAL_BYTES = 256 * 1024 * 1024;
const ENDING = ".baseline";

/**
 * Baselines kept in a folder, found by their image's identity. A file's name holds identity, version and derivation of
 * PIMS (another may see other code in the same image) and Merkle root; a file whose content has another identity or root is
 * removed and never believed. Nobody else may write to the folder: the root alone would not tell who wrote the file.
 */
export class BaselineFolder {
  readonly path: string;
  readonly #maxBytes: number;

  private constructor(path: string, maxBytes: number) {
    this.path = path;
    this.#maxBytes = maxBytes;
  }

  /** Opens the folder, or makes it for this user alone. Throws `cache-unusable`. */
  static async open(path: string, maxBytes = MAX_TOTAL_BYTES): Promise<BaselineFolder> {
    try {
      await mkdir(dirname(path), { recursive: true });
      await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
        if (errorCode(error) !== "EEXIST") throw error;
      });
      const stats = await lstat(path);
      if (!stats.isDirectory()) throw new PimsError("cache-unusable", `${path} is not a folder`);
      if (stats.uid !== process.geteuid?.() || (stats.mode & 0o022) !== 0)
        throw new PimsError("cache-unusable", `others than this user may write to the folder ${path}`);
    } catch (cause) {
      if (cause instanceof PimsError) throw cause;
      throw new PimsError("cache-unusable", `${path} cannot be a cache of baselines (${errorCode(cause)})`, { cause });
    }
    return new BaselineFolder(path, maxBytes);
  }

  /** The baseline of an image, null when it is not there or not what its name says. */
  async read(identity: string): Promise<Baseline | null> {
    for (const name of await this.#names()) {
      if (!name.startsWith(prefix(identity)) || !name.endsWith(ENDING)) continue;
      const path = join(this.path, name);
      try {
        const baseline = await readBaselineFile(path);
        if (baseline.header.identity === identity && name === nameOf(baseline)) {
          const now = new Date();
          await utimes(path, now, now).catch(() => undefined);
          return baseline;
        }
      } catch (error) {
        if (!(error instanceof PimsError)) throw error;
      }
      await rm(path, { recursive: true, force: true });
    }
    return null;
  }

  /** Keeps a baseline, and removes those that were not used for longest where all together are too large. Throws `baseline-unwritable`. */
  async write(baseline: Baseline): Promise<void> {
    await writeBaselineFile(join(this.path, nameOf(baseline)), baseline);
    await this.#removeOldest();
  }

  async #removeOldest(): Promise<void> {
    const files: { path: string; size: number; usedMs: number }[] = [];
    for (const name of await this.#names()) {
      const path = join(this.path, name);
      // Another process may remove it meanwhile.
      const stats = await stat(path).catch(() => null);
      if (stats !== null) files.push({ path, size: stats.size, usedMs: stats.mtimeMs });
    }
    files.sort((a, b) => b.usedMs - a.usedMs);
    let total = 0;
    for (const { path, size } of files) {
      total += size;
      if (total > this.#maxBytes) await rm(path, { recursive: true, force: true });
    }
  }

  /** What a name says is ours, with the drafts of writers that were killed; nobody else's file in the folder is touched. */
  async #names(): Promise<string[]> {
    return (await readdir(this.path)).filter((name) => /^[0-9a-f]{64}-.*-[0-9a-f]{64}\.baseline(\.|$)/.test(name));
  }
}

function prefix(identity: string): string {
  return `${identity.slice("sha256:".length)}-${VERSION}.${DERIVATION}-`;
}

function nameOf({ header, root }: Baseline): string {
  return `${prefix(header.identity)}${toHex(root)}${ENDING}`;
}
