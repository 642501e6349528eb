import { readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { type ElfFile, isElf, readElf } from "../measure/elf.ts";
import { findBytes } from "./find-bytes.ts";
import { hashRanges } from "./hash-ranges.ts";
import type { BaselineSegment, EntryKind } from "./lines.ts";
import { hasFirstLine, isScriptPath } from "./scripts.ts";

const CHUNK_BYTES = 1024 * 1024;
/** The name by which PCRE2's just-in-time compiler is called (pcre2jit(3)); the width of its characters follows. */
const COMPILE_CALL = "pcre2_jit_compile_";

/** What makes a file code. */
export interface Code {
  readonly kind: EntryKind;
  readonly segments: readonly BaselineSegment[];
  /** e_machine, where it is known. */
  readonly machine: number | null;
  /** Whether it asks a library of regular expressions to translate them to machine code. */
  readonly compiles: boolean;
}

export const SCRIPT: Code = { kind: "script", segments: [], machine: null, compiles: false };

export interface ScannedFile {
  readonly size: bigint;
  /** Null where nobody asked for the digest of a file that is no code. */
  readonly sha256: string | null;
  readonly code: Code | null;
}

/** What is known of a file before its content is. */
export interface FileFacts {
  readonly size: number;
  /** Path or name, one character a byte: it may say that the file is a script. */
  readonly path: string;
  /** Whether to hash the file also when it is no code. */
  readonly hashAlways: boolean;
}

/** Whether a file with these first four bytes has to be looked at in full. */
export function isWorthReading(prefix: Uint8Array, facts: FileFacts): boolean {
  return facts.hashAlways || isElf(prefix) || hasFirstLine(prefix) || isScriptPath(facts.path);
}

/**
 * The digest of a file and what code it is. `read` gives bytes at random, `chunks` the whole file in order; both are of
 * the same file. Throws nothing of its own: a file that starts like ELF and is not valid is listed without segments, so
 * that it is the image's file by its digest, and no place in it is one for code.
 */
export async function scanContent(
  facts: FileFacts,
  read: (offset: bigint, length: number) => Uint8Array,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<ScannedFile> {
  const size = BigInt(facts.size);
  const prefix = read(0n, 4);
  if (!isWorthReading(prefix, facts)) return { size, sha256: null, code: null };
  const elf = isElf(prefix) ? tryElf(read, size) : null;
  const segments = elf === "malformed" ? [] : (elf?.segments ?? []);
  const hash = hashRanges(segments.map(({ offset, fileSize }) => ({ offset, size: fileSize })));
  const compiling = elf === null ? null : findBytes(COMPILE_CALL);
  for await (const chunk of chunks) {
    hash.update(chunk);
    compiling?.update(chunk);
  }
  const { sha256, ranges } = hash.end();
  if (elf === null) {
    const code = hasFirstLine(prefix) || isScriptPath(facts.path) ? SCRIPT : null;
    return { size, sha256, code };
  }
  return { size, sha256, code: codeOf(elf, ranges, compiling?.found === true) };
}

function tryElf(read: (offset: bigint, length: number) => Uint8Array, size: bigint): ElfFile | "malformed" {
  try {
    return readElf(read, size);
  } catch (error) {
    if (errorCode(error) === "elf-malformed") return "malformed";
    throw error;
  }
}

/** Object files, kernel modules and core dumps are ELF too, but no process runs them. */
function codeOf(elf: ElfFile | "malformed", segments: readonly BaselineSegment[], compiles: boolean): Code | null {
  if (elf === "malformed") return { kind: "library", segments: [], machine: null, compiles };
  if (elf.type !== "executable" && elf.type !== "shared") return null;
  const kind = elf.interpreter || elf.type === "executable" ? "executable" : "library";
  return { kind, segments, machine: elf.machine, compiles };
}

/** Scans an open regular file of `facts.size` bytes. Throws `image-unreadable` when it ends earlier or cannot be read. */
export function scanOpenFile(fd: number, facts: FileFacts, path: string): Promise<ScannedFile> {
  const read = (offset: bigint, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readFully(fd, bytes, Number(offset)));
  };
  return scanContent(facts, read, readInOrder(fd, facts.size, path));
}

async function* readInOrder(fd: number, size: number, path: string): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(size, CHUNK_BYTES));
  for (let at = 0; at < size; ) {
    const length = readFully(fd, buffer.subarray(0, Math.min(buffer.length, size - at)), at);
    if (length === 0) throw new PimsError("image-unreadable", `${path} became shorter while it was being read`);
    yield buffer.subarray(0, length);
    at += length;
    if (size > CHUNK_BYTES) await setImmediate();
  }
}

/** read(2) may give less than asked for; only nothing means the end. */
function readFully(fd: number, into: Uint8Array, position: number): number {
  let length = 0;
  while (length < into.length) {
    const got = readSync(fd, into, length, into.length - length, position + length);
    if (got === 0) break;
    length += got;
  }
  return length;
}
