import { hash } from "node:crypto";
import { bytesEqual } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";
import { type HashName, hashById } from "../algorithms.ts";
import { MAX_BANKS, MAX_DIGEST_BYTES } from "../constants.ts";
import { WireReader, WireWriter } from "../wire.ts";

/** A record of a TCG Canonical Event Log in its TLV form ("TLV Encoding"). Untrusted until replayed. */
export interface UnverifiedCelRecord {
  readonly recnum: bigint;
  /** A PCR, or the measurement register of a confidential virtual machine. */
  readonly register: { readonly kind: "pcr" | "ccmr"; readonly index: number };
  readonly digests: ReadonlyMap<HashName, Uint8Array>;
  /** The whole content TLV: what the digests are over. */
  readonly content: Uint8Array;
  readonly contentType: number;
}

const TYPE = { recnum: 0, pcr: 1, digests: 3, ccmr: 108 } as const;
const MAX_LOG_BYTES = 16 * 1024 * 1024;
const MAX_CONTENT_BYTES = 1024 * 1024;

/** Reads a whole log. PimsError `tpm-malformed`, also when the record numbers are not 0, 1, 2, … */
export function parseCel(bytes: Uint8Array): UnverifiedCelRecord[] {
  if (bytes.length > MAX_LOG_BYTES) throw new PimsError("tpm-malformed", "the event log is larger than 16 MiB");
  const reader = new WireReader(bytes, "canonical event log");
  const records: UnverifiedCelRecord[] = [];
  while (reader.remaining > 0) {
    const record = readRecord(reader);
    if (record.recnum !== BigInt(records.length))
      reader.fail(`record ${record.recnum} where ${records.length} comes next`);
    records.push(record);
  }
  return records;
}

/** Throws `tpm-malformed` unless every digest of the record is the one of its content. */
export function verifyCelDigests(record: UnverifiedCelRecord): void {
  if (record.digests.size === 0) throw new PimsError("tpm-malformed", `record ${record.recnum} has no known digest`);
  for (const [bank, digest] of record.digests)
    if (!bytesEqual(digest, new Uint8Array(hash(bank, record.content, "buffer"))))
      throw new PimsError("tpm-malformed", `the ${bank} digest of record ${record.recnum} is not its content's`);
}

interface Tlv {
  readonly type: number;
  readonly value: Uint8Array;
}

/** One byte of type, four of length, the value. */
function readTlv(reader: WireReader, maximum: number): Tlv {
  const type = reader.u8();
  const length = reader.u32();
  if (length > maximum) reader.fail(`a value of ${length} bytes`);
  return { type, value: reader.bytes(length) };
}

function readRecord(reader: WireReader): UnverifiedCelRecord {
  const recnum = readTlv(reader, 8);
  if (recnum.type !== TYPE.recnum || recnum.value.length !== 8) reader.fail("a record without a number");
  const register = readTlv(reader, 1);
  if ((register.type !== TYPE.pcr && register.type !== TYPE.ccmr) || register.value.length !== 1)
    reader.fail("a record without a register");
  const digests = readTlv(reader, MAX_BANKS * (5 + MAX_DIGEST_BYTES));
  if (digests.type !== TYPE.digests) reader.fail("a record without digests");
  const content = readTlv(reader, MAX_CONTENT_BYTES);
  return {
    recnum: Buffer.from(recnum.value).readBigUInt64BE(),
    register: { kind: register.type === TYPE.pcr ? "pcr" : "ccmr", index: register.value[0]! },
    digests: readDigests(digests.value),
    content: new WireWriter().u8(content.type).u32(content.value.length).bytes(content.value).done(),
    contentType: content.type,
  };
}

function readDigests(bytes: Uint8Array): Map<HashName, Uint8Array> {
  const reader = new WireReader(bytes, "digests of a canonical event log");
  const digests = new Map<HashName, Uint8Array>();
  while (reader.remaining > 0) {
    const { type, value } = readTlv(reader, MAX_DIGEST_BYTES);
    const algorithm = hashById(type);
    if (algorithm === undefined) continue;
    if (value.length !== algorithm.size || digests.has(algorithm.name))
      reader.fail(`a ${algorithm.name} digest that cannot be`);
    digests.set(algorithm.name, value);
  }
  return digests;
}
