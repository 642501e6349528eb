import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorCode, PimsError } from "../core/errors.ts";
import { isElf, tableRange } from "../measure/elf.ts";
import { parseElfHeader } from "../measure/elf-header.ts";
import { type FileFacts, isWorthReading, type ScannedFile, scanContent, scanOpenFile } from "./scan-file.ts";

/** Linkers put the program headers right after the file header; only tools that change a file later put them elsewhere. */
const PREFIX_BYTES = 64 * 1024;
const ZEROS = new Uint8Array(1024 * 1024);

/** Scans a file of `facts.size` bytes that passes by once. What of it does not matter is left unread. */
export async function scanStream(facts: FileFacts, content: AsyncIterable<Uint8Array>): Promise<ScannedFile> {
  const chunks = content[Symbol.asyncIterator]();
  const start = await takePrefix(chunks, Math.min(4, facts.size), new Uint8Array(0));
  if (!isWorthReading(start, facts)) return { size: BigInt(facts.size), sha256: null, code: null };
  const prefix = isElf(start) ? await takePrefix(chunks, Math.min(PREFIX_BYTES, facts.size), start) : start;
  const all = prepend(prefix, chunks);
  if (isElf(prefix) && !holdsProgramHeaders(prefix, facts.size)) return scanSpooled(facts, all);
  return scanContent(facts, (offset, length) => prefix.subarray(Number(offset), Number(offset) + length), all);
}

/** At least `length` bytes, beginning with `start`. */
async function takePrefix(chunks: AsyncIterator<Uint8Array>, length: number, start: Uint8Array): Promise<Uint8Array> {
  const pieces = [start];
  for (let have = start.length; have < length; ) {
    const { done, value } = await chunks.next();
    if (done) break;
    pieces.push(Uint8Array.from(value));
    have += value.length;
  }
  return pieces.length === 1 ? start : Buffer.concat(pieces);
}

async function* prepend(prefix: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield prefix;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

/** True also where there are none to be had: then reading finds the same as in the whole file. */
function holdsProgramHeaders(prefix: Uint8Array, fileSize: number): boolean {
  try {
    const { offset, size } = tableRange(parseElfHeader(prefix), BigInt(fileSize));
    return offset + BigInt(size) <= prefix.length;
  } catch (error) {
    if (errorCode(error) === "elf-malformed") return true;
    throw error;
  }
}

/** Writes the file to disk, where it can be read at random. The name is gone before the first byte is written. */
async function scanSpooled(facts: FileFacts, content: AsyncIterable<Uint8Array>): Promise<ScannedFile> {
  const fd = openNameless();
  try {
    let at = 0;
    for await (const chunk of content) {
      // Zeros stay a hole, so that gigabytes of them that an archive merely claims take no room.
      if (!isZero(chunk)) writeFully(fd, chunk, at);
      at += chunk.length;
    }
    ftruncateSync(fd, at);
    return await scanOpenFile(fd, facts, "a file of the image");
  } finally {
    closeSync(fd);
  }
}

function openNameless(): number {
  const folder = mkdtempSync(join(tmpdir(), "pims-image-"));
  try {
    return openSync(join(folder, "file"), "wx+", 0o600);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function isZero(chunk: Uint8Array): boolean {
  return chunk.length <= ZEROS.length && Buffer.compare(chunk, ZEROS.subarray(0, chunk.length)) === 0;
}

function writeFully(fd: number, chunk: Uint8Array, position: number): void {
  try {
    for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at, position + at);
  } catch (cause) {
    const text = `a file of the image cannot be kept in ${tmpdir()} (${errorCode(cause)})`;
    throw new PimsError("image-unreadable", text, { hint: "make room there, or set TMPDIR to another folder", cause });
  }
}
