import { PimsError } from "../../core/errors.ts";
import { type HashName, hashById } from "../algorithms.ts";
import { MAX_BANKS, MAX_DIGEST_BYTES, MAX_PCRS } from "../constants.ts";
import { WireReader } from "../wire.ts";

/** TCG_PCR_EVENT2, or TCG_PCR_EVENT with its one digest: one thing that the firmware or the boot loader measured. */
export interface BootEvent {
  readonly pcr: number;
  /** EV_…, TCG PC Client Platform Firmware Profile, "Event Types". */
  readonly type: number;
  /** By the banks that PIMS computes. */
  readonly digests: ReadonlyMap<HashName, Uint8Array>;
  /** What the firmware says it measured. Only for a few event types is the digest that of these bytes. */
  readonly data: Uint8Array;
}

/** Untrusted until its replay gives the PCR values of a verified quote. */
export interface UnverifiedBootLog {
  readonly banks: readonly HashName[];
  readonly events: readonly BootEvent[];
}

/** EV_NO_ACTION: says something and is not extended. */
export const EV_NO_ACTION = 0x00000003;

/** Real logs have some ten or hundred kilobytes. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;
const SHA1_BYTES = 20;
const SPEC_ID = "Spec ID Event03\0";

/**
 * Reads a whole event log as Linux gives it in `binary_bios_measurements` (TCG PC Client Platform Firmware Profile, "Event
 * Logging"): crypto-agile, or of SHA-1 only as older firmware writes it. The first event of a crypto-agile log, which only
 * describes it, is not among the result's events. PimsError `tpm-malformed`.
 */
export function parseBootLog(bytes: Uint8Array): UnverifiedBootLog {
  if (bytes.length > MAX_LOG_BYTES) throw new PimsError("tpm-malformed", "the event log is larger than 16 MiB");
  const reader = new WireReader(bytes, "event log", { littleEndian: true });
  const first = readSha1Event(reader);
  const events: BootEvent[] = [];
  if (!isSpecId(first)) {
    events.push(first);
    while (reader.remaining > 0) events.push(readSha1Event(reader));
    return { banks: ["sha1"], events };
  }
  const sizes = readSpecId(first.data);
  while (reader.remaining > 0) events.push(readEvent(reader, sizes));
  return { banks: [...sizes.keys()].flatMap((id) => hashById(id)?.name ?? []), events };
}

/** TCG_PCR_EVENT. */
function readSha1Event(reader: WireReader): BootEvent {
  const [pcr, type] = readPlace(reader);
  return { pcr, type, digests: new Map([["sha1", reader.bytes(SHA1_BYTES)]]), data: reader.bytes(reader.u32()) };
}

function isSpecId({ pcr, type, data }: BootEvent): boolean {
  return pcr === 0 && type === EV_NO_ACTION && Buffer.from(data).toString("latin1", 0, SPEC_ID.length) === SPEC_ID;
}

/** TCG_EfiSpecIDEvent: digest sizes by TPM_ALG_ID. */
function readSpecId(data: Uint8Array): Map<number, number> {
  const reader = new WireReader(data, "event log's header", { littleEndian: true });
  reader.bytes(SPEC_ID.length);
  reader.bytes(8); // platform class, version, size of UINTN
  const sizes = new Map<number, number>();
  for (let count = reader.count(MAX_BANKS); count > 0; count--) {
    const id = reader.u16();
    const size = reader.u16();
    const known = hashById(id)?.size;
    if (size > MAX_DIGEST_BYTES || (known ?? size) !== size || sizes.has(id)) reader.fail("a bank that cannot be");
    sizes.set(id, size);
  }
  reader.bytes(reader.u8()); // vendor information
  reader.end();
  return sizes;
}

function readEvent(reader: WireReader, sizes: ReadonlyMap<number, number>): BootEvent {
  const [pcr, type] = readPlace(reader);
  const digests = new Map<HashName, Uint8Array>();
  const seen = new Set<number>();
  for (let count = reader.count(sizes.size); count > 0; count--) {
    const id = reader.u16();
    const size = sizes.get(id);
    if (size === undefined || seen.has(id)) reader.fail("a digest of a bank that the log has not, or twice");
    seen.add(id);
    const digest = reader.bytes(size!);
    const bank = hashById(id)?.name;
    if (bank !== undefined) digests.set(bank, digest);
  }
  return { pcr, type, digests, data: reader.bytes(reader.u32()) };
}

function readPlace(reader: WireReader): [pcr: number, type: number] {
  const pcr = reader.u32();
  const type = reader.u32();
  // EV_NO_ACTION may name 0xffffffff: no PCR at all.
  if (pcr >= MAX_PCRS && type !== EV_NO_ACTION) reader.fail(`PCR ${pcr}`);
  return [pcr, type];
}
