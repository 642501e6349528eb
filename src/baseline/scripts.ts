import { posix } from "node:path";
import { PRELOAD_FILE } from "../process/preload.ts";

/**
 * Endings of files that are handed to an interpreter (src/process/interpreters.ts), whatever their mode and first line.
 * Libraries of interpreters have the same endings and are listed, too: Node's worker processes and Python's packages run
 * files of theirs. Not `.d.ts`, which hold no code.
 */
const ENDINGS = /\.(sh|bash|ksh|zsh|fish|py|pyw|pyz|pl|rb|js|mjs|cjs|ts|mts|cts|php|phar|lua|tcl|exp|awk)$/;
const TYPES_ONLY = /\.d\.[mc]?ts$/;

/** Smaller files are hashed whatever they are called: the image's entry point may name them. */
export const SMALL_BYTES = 64 * 1024;

/** `#!`: execve hands the file to an interpreter. */
export function hasFirstLine(prefix: Uint8Array): boolean {
  return prefix[0] === 0x23 && prefix[1] === 0x21;
}

/** Whether a file's path (one character a byte, absolute or not) says that it decides about code without being ELF. */
export function isScriptPath(path: string): boolean {
  return (ENDINGS.test(path) && !TYPES_ONLY.test(path)) || `/${path}`.endsWith(PRELOAD_FILE);
}

/** Paths that the words of an image's entry point and command may stand for. */
export function namedPaths(entrypoint: readonly string[], workingFolder: string): ReadonlySet<string> {
  return new Set(
    entrypoint.map((word) => Buffer.from(posix.resolve("/", workingFolder, word), "utf8").toString("latin1")),
  );
}
