import { hash } from "node:crypto";
import { concatBytes, type JsonText, toHex, toJsonText } from "../../core/bytes.ts";
import { errorCode, PimsError } from "../../core/errors.ts";
import { type HashName, hashByName } from "../algorithms.ts";
import { MAX_DIGEST_BYTES, MAX_PCRS } from "../constants.ts";
import { WireReader } from "../wire.ts";

/** What an entry says of a file. The host's word until the list's replay gives a quoted PCR 10. */
export interface ImaFile {
  /** `sha256`, `sha1`, …, as the kernel names it. */
  readonly algorithm: string;
  /** Hexadecimal. */
  readonly digest: string;
  /** As the process that used the file saw it: a container's path looks like the host's. */
  readonly path: JsonText;
  /** The control group of that process, where the template has it. */
  readonly cgroup: string | null;
}

/** One entry of the Linux Integrity Measurement Architecture's list. */
export interface ImaEntry {
  readonly pcr: number;
  /** SHA-1 over the template's data as the list has it; zero for a violation. Not checked here. */
  readonly templateDigest: Uint8Array;
  readonly template: string;
  /** What digests of a bank are over. */
  readonly data: Uint8Array;
  /** The file could be written while it was measured, or was measured while it was written to: nobody knows what was used. */
  readonly violation: boolean;
  /** Null where the data has not the form of any template that PIMS knows. */
  readonly file: ImaFile | null;
}

/** Where IMA extends what it measures (CONFIG_IMA_MEASURE_PCR_IDX). */
export const IMA_PCR = 10;

/** A kernel keeps its list for as long as it runs. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;
const SHA1_BYTES = 20;
const MAX_TEMPLATE_NAME = 64;
const MAX_DATA_BYTES = 1024 * 1024;
const MAX_ENTRY_BYTES = MAX_DATA_BYTES + 4 + SHA1_BYTES + 4 + MAX_TEMPLATE_NAME + 4;
/** IMA_EVENT_NAME_LEN_MAX and the zero byte behind it: what the first template hashes of a name. */
const OLD_NAME_BYTES = 256;

/**
 * Reads a list, or a stretch of it that begins with a whole entry, as Linux gives it in `binary_runtime_measurements` on a
 * little-endian machine (or on any with `ima_canonical_fmt`). PimsError `tpm-malformed`, also when it ends within an entry.
 */
export function parseImaList(bytes: Uint8Array): ImaEntry[] {
  if (bytes.length > MAX_LIST_BYTES) throw new PimsError("tpm-malformed", "the IMA list is larger than 64 MiB");
  const reader = new WireReader(bytes, "IMA list", { littleEndian: true });
  const entries: ImaEntry[] = [];
  while (reader.remaining > 0) entries.push(readEntry(reader));
  return entries;
}

/** How many whole entries stand at the beginning within `maximum` bytes, at most `limit`, and their length. Throws `tpm-malformed`. */
export function wholeImaEntries(
  bytes: Uint8Array,
  maximum: number,
  limit = Number.POSITIVE_INFINITY,
): { entries: number; bytes: number } {
  const reader = new WireReader(bytes, "IMA list", { littleEndian: true });
  const whole = { entries: 0, bytes: 0 };
  while (reader.remaining > 0 && whole.entries < limit) {
    try {
      readEntry(reader);
    } catch (error) {
      // It ends within an entry: the next reading begins with that one.
      if (errorCode(error) === "tpm-malformed" && bytes.length - whole.bytes < MAX_ENTRY_BYTES) return whole;
      throw error;
    }
    if (reader.offset > maximum) return whole;
    whole.entries++;
    whole.bytes = reader.offset;
  }
  return whole;
}

/**
 * PCR 10 of a bank after these entries, from `start` on (a PCR of zeros without it). PimsError `tpm-malformed` for an entry
 * of another PCR.
 */
export function replayImaList(
  entries: Iterable<ImaEntry>,
  bank: HashName,
  options: { start?: Uint8Array; padded?: boolean } = {},
): Uint8Array {
  const { size } = hashByName(bank);
  let value = options.start ?? new Uint8Array(size);
  for (const entry of entries) {
    if (entry.pcr !== IMA_PCR) throw new PimsError("tpm-malformed", `an IMA entry of PCR ${entry.pcr}`);
    value = new Uint8Array(hash(bank, concatBytes(value, imaExtension(entry, bank, options.padded)), "buffer"));
  }
  return value;
}

/**
 * What an entry extends its PCR of a bank with. A violation extends all ones. `padded`: kernels before 5.8 extend every bank
 * with the SHA-1 digest, zeros behind it.
 */
export function imaExtension(entry: ImaEntry, bank: HashName, padded = false): Uint8Array {
  const { size } = hashByName(bank);
  if (entry.violation) return new Uint8Array(size).fill(0xff);
  const digest = new Uint8Array(hash(padded ? "sha1" : bank, hashed(entry), "buffer"));
  if (digest.length === size) return digest;
  const extended = new Uint8Array(size);
  extended.set(digest);
  return extended;
}

function hashed({ template, data }: ImaEntry): Uint8Array {
  if (template !== "ima") return data;
  // The first template hashes its digest and the name padded to its greatest length, not what the list shows.
  const padded = new Uint8Array(SHA1_BYTES + OLD_NAME_BYTES);
  padded.set(data.subarray(0, SHA1_BYTES));
  padded.set(data.subarray(SHA1_BYTES + 4, SHA1_BYTES + 4 + OLD_NAME_BYTES - 1), SHA1_BYTES);
  return padded;
}

function readEntry(reader: WireReader): ImaEntry {
  const pcr = reader.u32();
  if (pcr >= MAX_PCRS) reader.fail(`PCR ${pcr}`);
  const templateDigest = reader.bytes(SHA1_BYTES);
  const name = reader.bytes(boundedLength(reader, MAX_TEMPLATE_NAME));
  const template = Buffer.from(name).toString("latin1");
  const data = template === "ima" ? readOldData(reader) : reader.bytes(boundedLength(reader, MAX_DATA_BYTES));
  const violation = templateDigest.every((byte) => byte === 0);
  return { pcr, templateDigest, template, data, violation, file: fileOf(template, data) };
}

function boundedLength(reader: WireReader, maximum: number): number {
  const length = reader.u32();
  if (length > maximum) reader.fail(`a field of ${length} bytes`);
  return length;
}

/** The first template has no length of its own: a SHA-1 digest, then a name with its length. */
function readOldData(reader: WireReader): Uint8Array {
  const digest = reader.bytes(SHA1_BYTES);
  const length = boundedLength(reader, OLD_NAME_BYTES);
  const data = new Uint8Array(SHA1_BYTES + 4 + length);
  data.set(digest);
  new DataView(data.buffer).setUint32(SHA1_BYTES, length, true);
  data.set(reader.bytes(length), SHA1_BYTES + 4);
  return data;
}

function fileOf(template: string, data: Uint8Array): ImaFile | null {
  if (template === "ima")
    return {
      algorithm: "sha1",
      digest: toHex(data.subarray(0, SHA1_BYTES)),
      path: pathOf(data.subarray(SHA1_BYTES + 4)),
      cgroup: null,
    };
  // By the form of the data alone: no digest covers the template's name, so whoever sends the list can change it.
  const fields = splitFields(data) ?? [];
  const plain = readDigest(fields[0]);
  if (plain !== null && fields[1] !== undefined) return { ...plain, path: pathOf(fields[1]), cgroup: null };
  // Two patches for containers put ancestors and control group before these.
  const later = readDigest(fields[2]);
  if (later === null || fields[3] === undefined) return null;
  return {
    ...later,
    path: pathOf(fields[3]),
    cgroup: Buffer.from(withoutZero(fields[1]!)).toString("latin1"),
  };
}

/** `sha256:`, in later templates `ima:sha256:` or `verity:sha256:`, a zero byte, the digest. */
function readDigest(field: Uint8Array | undefined): Pick<ImaFile, "algorithm" | "digest"> | null {
  if (field === undefined || field.length > MAX_DIGEST_BYTES + 64) return null;
  const end = field.indexOf(0);
  const algorithm = /^(?:ima:)?([a-z0-9:-]+):$/.exec(
    Buffer.from(field.subarray(0, Math.max(0, end))).toString("latin1"),
  );
  return algorithm === null ? null : { algorithm: algorithm[1]!, digest: toHex(field.subarray(end + 1)) };
}

/** At most so many fields has any template. */
const MAX_FIELDS = 16;

function splitFields(data: Uint8Array): Uint8Array[] | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const fields: Uint8Array[] = [];
  for (let offset = 0; offset < data.length; ) {
    if (fields.length === MAX_FIELDS || data.length - offset < 4) return undefined;
    const end = offset + 4 + view.getUint32(offset, true);
    if (end > data.length) return undefined;
    fields.push(data.subarray(offset + 4, end));
    offset = end;
  }
  return fields;
}

function pathOf(bytes: Uint8Array): JsonText {
  return toJsonText(withoutZero(bytes));
}

function withoutZero(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes;
}
