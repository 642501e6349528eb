import { type JsonText, jsonTextBytes, printable, toJsonText } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { architectureOf } from "./architecture.ts";
import { parseBaseline } from "./format.ts";
import { holdsCompiler, isJitRuntime } from "./jit.ts";
import { type Baseline, type BaselineEntry, formatEntry, formatHeader, type LoaderVariables } from "./lines.ts";
import { sortPorts } from "./ports.ts";
import { type Code, SCRIPT } from "./scan-file.ts";
import { MAX_PATH_BYTES } from "./schema.ts";
import { namedPaths, SMALL_BYTES } from "./scripts.ts";

/** A file of an image, as far as a baseline needs it. */
export interface ImageFile {
  /** Inside the image, absolute. */
  readonly path: Uint8Array;
  readonly size?: bigint;
  readonly sha256?: string | null;
  readonly code: Code | null;
}

/** Counts up when the same image would give another baseline than before: a test knows. */
export const DERIVATION = 1;

/** What an image says about itself. */
export interface ImageFacts {
  readonly identity: string;
  readonly name: string;
  /** Undefined where only the programs themselves tell. */
  readonly architecture?: string | undefined;
  readonly ports: readonly string[];
  readonly entrypoint: readonly string[];
  /** Where the entry point starts. */
  readonly workingFolder?: string;
  readonly loader?: LoaderVariables | undefined;
  /** Files that count as scripts, though nothing about them says so. */
  readonly listed?: readonly string[] | undefined;
}

/**
 * Makes a baseline of an image's files, in whatever order they come. Throws `image-too-large`, and `usage` where a file
 * that is to be listed is not there.
 */
export function assembleBaseline(facts: ImageFacts, files: Iterable<ImageFile>): Baseline {
  const entries: BaselineEntry[] = [];
  const machines: number[] = [];
  const compiling = new Set<JsonText>();
  const named = namedPaths(facts.entrypoint, facts.workingFolder ?? "/");
  const listed = namedPaths(facts.listed ?? [], "/");
  const missing = new Set(listed);
  for (const { path, size, sha256, code: found } of files) {
    const key = Buffer.from(path).toString("latin1");
    const code = found ?? (named.has(key) || listed.has(key) ? SCRIPT : null);
    if (code === null || size === undefined || typeof sha256 !== "string") continue;
    if (path.length > MAX_PATH_BYTES) throw new PimsError("image-too-large", "a path in the image is too long");
    const entry: BaselineEntry = { path: toJsonText(path), kind: code.kind, size, sha256, segments: code.segments };
    entries.push(entry);
    missing.delete(key);
    if (code.kind !== "script" && (isJitRuntime(entry.path) || (code.compiles && !holdsCompiler(entry.path))))
      compiling.add(entry.path);
    if (code.machine !== null) machines.push(code.machine);
  }
  for (const key of missing)
    throw new PimsError("usage", `the image has no file ${printable(key)} that could be listed`, {
      hint: `larger ones than ${SMALL_BYTES / 1024} KiB that are neither programs nor scripts are listed by their digest`,
    });
  const keyed = entries.map((entry) => ({ entry, path: jsonTextBytes(entry.path) }));
  const ordered = keyed.sort((a, b) => Buffer.compare(a.path, b.path)).map(({ entry }) => entry);
  const header = formatHeader({
    identity: facts.identity,
    name: facts.name,
    architecture: facts.architecture ?? architectureOf(machines),
    ports: sortPorts(facts.ports),
    entrypoint: facts.entrypoint,
    jit: ordered.map(({ path }) => path).filter((path) => compiling.has(path)),
    loader: facts.loader,
    entries: ordered.length,
  });
  return parseBaseline([header, ...ordered.map(formatEntry)]);
}
