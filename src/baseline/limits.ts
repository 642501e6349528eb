import { PimsError } from "../core/errors.ts";

/** What an image may cost. Everything in it comes from somebody who may want it to cost more. */
export interface ImageLimits {
  /** Files, folders, links and whatever else has a name, over all layers. */
  readonly files: number;
  /** Levels of folders. */
  readonly depth: number;
  /** Bytes of one file. A sparse file counts with all its holes, since its digest does. */
  readonly fileBytes: number;
  /** Bytes of all files, or of all layers uncompressed. */
  readonly totalBytes: number;
}

export const defaultLimits: ImageLimits = {
  files: 2_000_000,
  depth: 256,
  fileBytes: 8 * 1024 ** 3,
  totalBytes: 64 * 1024 ** 3,
};

/** Counts what an image has cost so far. */
export interface Budget {
  /** One more name. Throws `image-too-large`. */
  file(depth: number): void;
  /** A file of so many bytes; `path` is for the message. Throws `image-too-large`. */
  fileBytes(size: number, path: string): void;
  /** So many bytes more to read. Throws `image-too-large`. */
  bytes(size: number): void;
}

export function startBudget(limits: Partial<ImageLimits> = {}): Budget {
  const most = { ...defaultLimits, ...limits };
  let files = 0;
  let total = 0;
  return {
    file(depth) {
      if (++files > most.files) throw tooLarge(`it has more than ${most.files} files`);
      if (depth > most.depth) throw tooLarge(`its folders are nested more than ${most.depth} levels deep`);
    },
    fileBytes(size, path) {
      if (size > most.fileBytes) throw tooLarge(`${path} has ${size} bytes, more than ${most.fileBytes}`);
    },
    bytes(size) {
      total += size;
      if (total > most.totalBytes) throw tooLarge(`it has more than ${most.totalBytes} bytes`);
    },
  };
}

function tooLarge(why: string): PimsError {
  return new PimsError("image-too-large", `the image is larger than a baseline is made of: ${why}`);
}
