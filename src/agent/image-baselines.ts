import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { BaselineFolder } from "../baseline/baseline-folder.ts";
import { type BuiltImage, buildFromArchive, buildFromFolder } from "../baseline/build.ts";
import type { Baseline } from "../baseline/lines.ts";
import { exportImage } from "../container/docker.ts";
import { dockerAddress } from "../container/docker-http.ts";
import { overlayLowerFolder } from "../container/overlay.ts";
import { inspectRuncContainer, type RuncContainer } from "../container/runc.ts";
import type { ContainerInfo } from "../container/types.ts";
import { printable } from "../core/bytes.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { RuntimeAnswer } from "./container-names.ts";

/** What a container is judged by, or one sentence on why there is nothing. */
export type ImageBaseline =
  | {
      readonly found: true;
      readonly baseline: Baseline;
      /** `image`: the engine's; `lower-folder`: the read-only layer below the container's root file system. */
      readonly from: "image" | "lower-folder";
      /** Whether it was in the folder of baselines. */
      readonly cached: boolean;
    }
  | { readonly found: false; readonly text: string };

export interface ImageBaselineOptions {
  /** Where baselines of images are kept; null keeps none. */
  readonly folder: BaselineFolder | null;
  /** A sentence for the operator, as when a baseline cannot be kept. */
  readonly report: (text: string) => void;
  /** What is being waited for. */
  readonly step: (text: string) => void;
  /** How long the engine may take to hand over one image. */
  readonly exportTimeoutMs?: number;
}

const EXPORT_TIMEOUT_MS = 600_000;
/** A large image is packed before its first byte comes. */
const SILENCE_MS = 120_000;
/** An image that a scan reads on the way; `pims baseline build` takes larger ones. */
const LIMITS = { totalBytes: 16 * 1024 ** 3 };

/**
 * Derives the baseline of a container on the spot, from what its processes cannot write to: the engine's image, or
 * the one read-only folder below an overlay. Each image is read once, and kept in the folder.
 */
export class ImageBaselines {
  readonly #options: ImageBaselineOptions;
  readonly #known = new Map<string, ImageBaseline>();

  constructor(options: ImageBaselineOptions) {
    this.#options = options;
  }

  /** Does not throw for what a runtime or an image says or fails to say. */
  async of(answer: RuntimeAnswer): Promise<ImageBaseline> {
    try {
      return await this.#of(answer);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      return missing(describeError(error));
    }
  }

  async #of({ info, problem }: RuntimeAnswer): Promise<ImageBaseline> {
    if (problem !== null) return missing(problem.message);
    if (info.runtime === "docker") return this.#ofImage(info);
    if (info.runtime === "runc") return this.#ofBundle(await inspectRuncContainer(info.id));
    return missing(`images of ${info.runtime} are not read`);
  }

  async #ofImage({ image, imageName }: ContainerInfo): Promise<ImageBaseline> {
    if (image === null) return missing("Docker does not tell which image it was made of");
    return this.#once(image, async () => {
      const kept = await this.#options.folder?.read(image);
      if (kept) return { found: true, baseline: kept, from: "image", cached: true };
      this.#options.step(`reading the image ${printable(imageName ?? image)}`);
      const { baseline, aliases } = await this.#export(image);
      if (baseline.header.identity !== image && !aliases.includes(image))
        return missing(`Docker handed over another image (${baseline.header.identity}) as its image ${image}`);
      await this.#keep(baseline);
      return { found: true, baseline, from: "image", cached: false };
    });
  }

  /**
   * An archive is checked against the digest of its configuration as it is read, and that is the image's identity. An
   * engine that goes by digests of manifests or indexes hands over those, too, and they are checked as well.
   */
  async #export(image: string): Promise<BuiltImage> {
    const timeoutMs = this.#options.exportTimeoutMs ?? EXPORT_TIMEOUT_MS;
    const startMs = performance.now();
    const archive = await exportImage(image, dockerAddress(), Math.min(timeoutMs, SILENCE_MS));
    const late = setTimeout(() => archive.destroy(), timeoutMs);
    try {
      return await buildFromArchive(archive, { limits: LIMITS });
    } catch (error) {
      // However a connection that is given up ends: a timer may be early by a millisecond, and another one first.
      if (performance.now() - startMs < timeoutMs - 1) throw error;
      const text = `Docker did not hand over the image within ${timeoutMs / 1000} s`;
      throw new PimsError("docker-unreachable", text, { cause: error });
    } finally {
      clearTimeout(late);
    }
  }

  /** Not kept is no reason to fail: the next scan reads the image again. */
  async #keep(baseline: Baseline): Promise<void> {
    try {
      await this.#options.folder?.write(baseline);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      this.#options.report(describeError(error));
    }
  }

  async #ofBundle({ bundle, rootfs, start }: RuncContainer): Promise<ImageBaseline> {
    const lower = rootfs === null ? null : overlayLowerFolder(rootfs);
    if (lower === null || (!lower.startsWith("/") && bundle === null))
      return missing("runc has no image of it, and its root file system is no overlay above one read-only folder");
    // What is named relative to a folder that nobody tells is looked for where such an overlay is made: in the bundle.
    const path = resolve(bundle ?? "/", lower);
    const stats = await stat(path, { bigint: true }).catch(() => null);
    if (stats === null) return missing(`the folder below its root file system, ${printable(path)}, is not there`);
    // What the bundle starts, so that a script among it is known as one: a bundle promises nothing else.
    const entrypoint = start?.args ?? [];
    return this.#once(JSON.stringify([String(stats.dev), String(stats.ino), entrypoint]), async () => {
      this.#options.step(`reading the folder ${printable(path)}`);
      const baseline = await buildFromFolder({ root: path, name: path, entrypoint, limits: LIMITS });
      return { found: true, baseline, from: "lower-folder", cached: false };
    });
  }

  async #once(key: string, derive: () => Promise<ImageBaseline>): Promise<ImageBaseline> {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const derived = await derive().catch((error: unknown) => {
      if (!(error instanceof PimsError)) throw error;
      return missing(describeError(error));
    });
    this.#known.set(key, derived);
    return derived;
  }
}

function missing(text: string): ImageBaseline {
  return { found: false, text };
}
