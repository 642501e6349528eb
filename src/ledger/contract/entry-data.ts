import { deflateSync, inflateSync } from "node:zlib";
import { concat, type Hex, keccak256 } from "viem";
import { PimsError } from "../../core/errors.ts";
import { zeroHash } from "./identity.ts";

/** `MAX_CHUNK_BYTES` of contracts/BaselineRegistry.sol: a transaction with a piece stays within 96 KiB. */
export const maxChunkBytes = 96 * 1024 - 512;

/** `MAX_CHUNKS` of contracts/BaselineRegistry.sol. */
export const maxChunks = 256;

/** Most bytes that a baseline's lines may have; a reader inflates no more, whatever the chain holds. */
export const maxPlainBytes = 128 * 1024 * 1024;

/** A baseline's lines as they go into event data. */
export interface EntryData {
  /** The zlib stream (RFC 1950: every language can read it), cut into pieces. */
  chunks: Uint8Array[];
  /** `links[i]` commits to piece i and all after it; one more than pieces, the last one zero. */
  links: Hex[];
}

/** Compresses lines, each ended by a newline, and cuts them. Throws `baseline-too-large`. */
export function packLines(lines: readonly string[]): EntryData {
  const plain = Buffer.from(lines.map((line) => `${line}\n`).join(""), "utf8");
  if (plain.length > maxPlainBytes) throw tooLarge();
  const packed = deflateSync(plain, { level: 9 });
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < packed.length; at += maxChunkBytes) chunks.push(packed.subarray(at, at + maxChunkBytes));
  if (chunks.length > maxChunks) throw tooLarge();
  return { chunks, links: hashChain(chunks) };
}

/**
 * The hash chain over pieces, from the last to the first: `links[i] = keccak256(keccak256(piece i) ‖ links[i+1])`.
 * `links[0]` is what a proposal names as its data hash.
 */
export function hashChain(chunks: readonly Uint8Array[]): Hex[] {
  const links: Hex[] = [zeroHash];
  for (const chunk of chunks.toReversed()) links.unshift(keccak256(concat([keccak256(chunk), links[0]!])));
  return links;
}

/** The lines that pieces hold. Throws `baseline-altered` for anything but a complete stream of complete lines. */
export function unpackLines(chunks: readonly Uint8Array[]): string[] {
  try {
    const plain = inflateSync(Buffer.concat(chunks), { maxOutputLength: maxPlainBytes });
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(plain);
    if (text.endsWith("\n")) return text.slice(0, -1).split("\n");
  } catch (error) {
    throw altered(error);
  }
  throw altered();
}

function altered(cause?: unknown): PimsError {
  return new PimsError("baseline-altered", "the entry data on the chain is not a baseline's compressed lines", {
    cause,
  });
}

function tooLarge(): PimsError {
  return new PimsError("baseline-too-large", "the baseline is larger than the registry takes", {
    hint: "a baseline has at most 128 MiB of lines and 24 MiB when compressed",
  });
}
