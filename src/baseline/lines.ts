import type { JsonText } from "../core/bytes.ts";

/** Most entries of a baseline. The largest images that are in use have some ten thousand. */
export const MAX_ENTRIES = 500_000;

export type EntryKind = "executable" | "library" | "script";

/** An executable segment of an ELF file: its bytes in the file, from p_offset for p_filesz, unrounded. */
export interface BaselineSegment {
  readonly offset: bigint;
  readonly size: bigint;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
}

/** A file of the image that can be executed or loaded as code. */
export interface BaselineEntry {
  /** As the container names it: absolute, without `.`, `..` and empty parts. */
  readonly path: JsonText;
  readonly kind: EntryKind;
  /** Bytes. */
  readonly size: bigint;
  /** Of the whole file, lower-case hexadecimal. */
  readonly sha256: string;
  /** In the order of the program headers; none for a script. */
  readonly segments: readonly BaselineSegment[];
}

export interface LoaderVariables {
  readonly LD_PRELOAD?: string | undefined;
  readonly LD_AUDIT?: string | undefined;
}

/** What a baseline says about the image as a whole. */
export interface BaselineHeader {
  /** `sha256:` and the digest of the image's configuration, or of its tree where there is no image (tree-digest.ts). */
  readonly identity: string;
  readonly name: string;
  /** As images name it: `amd64`, `arm64`, … */
  readonly architecture: string;
  /** `tcp/80`. */
  readonly ports: readonly string[];
  readonly entrypoint: readonly string[];
  /** Programs and libraries that make code as they run. */
  readonly jit: readonly JsonText[];
  /** Variables of the image's environment that make the dynamic loader load libraries. Left out where there are none. */
  readonly loader?: LoaderVariables | undefined;
  /**
   * SHA-256 of code that is no file of the image and may run in its containers all the same, such as a volume's. In rising
   * order, lower-case hexadecimal. Left out where there is none.
   */
  readonly allowed?: readonly string[] | undefined;
  /** Number of entries that follow. */
  readonly entries: number;
}

export interface Baseline {
  readonly header: BaselineHeader;
  /** In strictly rising order of path bytes. */
  readonly entries: readonly BaselineEntry[];
  /** The exact text of header and entries: the leaves of the Merkle tree. */
  readonly lines: readonly string[];
  /** Merkle root over the lines, 32 bytes. */
  readonly root: Uint8Array;
}

/** The one line that a header has: members in fixed order, no spaces, escapes as JSON.stringify (ECMA-262) makes them. */
export function formatHeader(header: BaselineHeader): string {
  const { identity, name, architecture, ports, entrypoint, jit, loader, allowed, entries } = header;
  return JSON.stringify({
    format: "pims.baseline/v1",
    identity,
    name,
    architecture,
    ports,
    entrypoint,
    jit: jit.map(formatPath),
    ...(loader === undefined ? {} : { loader: { LD_PRELOAD: loader.LD_PRELOAD, LD_AUDIT: loader.LD_AUDIT } }),
    ...(allowed === undefined ? {} : { allowed }),
    entries,
  });
}

/** The one line that an entry has, by the same rules. */
export function formatEntry({ path, kind, size, sha256, segments }: BaselineEntry): string {
  return JSON.stringify({
    path: formatPath(path),
    kind,
    size: size.toString(),
    sha256,
    segments: segments.map((segment) => ({
      offset: segment.offset.toString(),
      size: segment.size.toString(),
      sha256: segment.sha256,
    })),
  });
}

function formatPath(path: JsonText): JsonText {
  return typeof path === "string" ? path : { hex: path.hex };
}
