import { sha256Stream } from "../core/digest.ts";

/** A stretch of a file, in bytes. */
export interface FileRange {
  readonly offset: bigint;
  readonly size: bigint;
}

export interface HashedRange extends FileRange {
  readonly sha256: string;
}

/** Hashes a file that passes by once: all of it, and ranges of it. */
export function hashRanges(ranges: readonly FileRange[]): {
  /** The next bytes of the file. */
  update(bytes: Uint8Array): void;
  end(): { sha256: string; ranges: HashedRange[] };
} {
  const whole = sha256Stream();
  const parts = ranges.map((range) => {
    const start = Number(range.offset);
    return { range, start, end: start + Number(range.size), hash: sha256Stream() };
  });
  let position = 0;
  return {
    update(bytes) {
      whole.update(bytes);
      for (const { start, end, hash } of parts) {
        const from = Math.max(start - position, 0);
        const to = Math.min(end - position, bytes.length);
        if (from < to) hash.update(bytes.subarray(from, to));
      }
      position += bytes.length;
    },
    end: () => ({
      sha256: whole.hex(),
      ranges: parts.map(({ range, hash }) => ({ ...range, sha256: hash.hex() })),
    }),
  };
}
