import { hash } from "node:crypto";
import { bytesEqual, toHex } from "../../core/bytes.ts";
import { errorCode } from "../../core/errors.ts";
import type { HashName } from "../algorithms.ts";
import { WireReader } from "../wire.ts";
import { BOOT_EVENT_TYPE, bootEventTypeName } from "./boot-event-types.ts";
import { type BootEvent, EV_NO_ACTION, type UnverifiedBootLog } from "./pc-client.ts";

/** One step of a boot, for a person. */
export interface BootStep {
  readonly pcr: number;
  /** `EV_…`. */
  readonly type: string;
  /** Hexadecimal, of the bank that was asked for. */
  readonly digest: string;
  /** What the firmware says it measured, printable or not; at most 256 characters. */
  readonly text: string;
  /** Whether the digest is the one of what it says. What is false is the firmware's word, also where the log replays. */
  readonly bound: boolean;
}

/** `unknown`: the log does not say, or says it in an event whose digest is not its data's. */
export type SecureBoot = "on" | "off" | "unknown";

const MAX_TEXT = 256;
const { EV_EFI_VARIABLE_DRIVER_CONFIG, EV_SEPARATOR } = BOOT_EVENT_TYPE;
/** EFI_GLOBAL_VARIABLE (UEFI Specification, "Globally Defined Variables"). */
const GLOBAL_VARIABLE = "61dfe48bca93d211aa0d00e098032b8c";

/** What was measured, in its order; events that are not extended are left out. The log must have this bank. */
export function bootChain(log: UnverifiedBootLog, bank: HashName): BootStep[] {
  return log.events
    .filter(({ type }) => type !== EV_NO_ACTION)
    .map((event) => ({
      pcr: event.pcr,
      type: bootEventTypeName(event.type),
      digest: toHex(event.digests.get(bank) ?? new Uint8Array(0)),
      text: describe(event).slice(0, MAX_TEXT),
      bound: isBound(event, bank),
    }));
}

/** The state of Secure Boot as PCR 7 holds it (Firmware Profile, "PCR[7] – Secure Boot Policy Measurements"). */
export function secureBootOf(log: UnverifiedBootLog, bank: HashName): SecureBoot {
  let state: SecureBoot = "unknown";
  for (const event of log.events) {
    if (event.pcr !== 7) continue;
    // What comes after the separator was measured by what the firmware had started.
    if (event.type === EV_SEPARATOR) break;
    if (event.type !== EV_EFI_VARIABLE_DRIVER_CONFIG) continue;
    const variable = orUndefined(() => readVariable(event.data));
    if (variable?.name !== "SecureBoot" || variable.guid !== GLOBAL_VARIABLE) continue;
    if (!isBound(event, bank)) return "unknown";
    state = variable.data.length === 1 && variable.data[0] === 1 ? "on" : "off";
  }
  return state;
}

function isBound({ data, digests }: BootEvent, bank: HashName): boolean {
  const digest = digests.get(bank);
  return digest !== undefined && bytesEqual(digest, new Uint8Array(hash(bank, data, "buffer")));
}

function describe(event: BootEvent): string {
  return orUndefined(() => describeData(event)) ?? `${event.data.length} bytes`;
}

function describeData({ type, data }: BootEvent): string {
  switch (type) {
    case BOOT_EVENT_TYPE.EV_EFI_VARIABLE_DRIVER_CONFIG:
    case BOOT_EVENT_TYPE.EV_EFI_VARIABLE_BOOT:
    case BOOT_EVENT_TYPE.EV_EFI_VARIABLE_BOOT2:
    case BOOT_EVENT_TYPE.EV_EFI_VARIABLE_AUTHORITY: {
      const { name, data: value } = readVariable(data);
      const shown = value.length === 0 ? "empty" : value.length <= 8 ? toHex(value) : `${value.length} bytes`;
      return `variable ${name}: ${shown}`;
    }
    case BOOT_EVENT_TYPE.EV_EFI_BOOT_SERVICES_APPLICATION:
    case BOOT_EVENT_TYPE.EV_EFI_BOOT_SERVICES_DRIVER:
    case BOOT_EVENT_TYPE.EV_EFI_RUNTIME_SERVICES_DRIVER:
      return `image ${readImagePath(data) || "without a path"}`;
    case BOOT_EVENT_TYPE.EV_SEPARATOR:
      return data.length === 4 && data.some((byte) => byte !== 0) && data.some((byte) => byte !== 0xff)
        ? `separator ${toHex(data)}`
        : "end of what the firmware measures before it starts another program";
    case BOOT_EVENT_TYPE.EV_S_CRTM_VERSION:
      return `firmware version ${textOf(data)}`;
    default:
      return textOf(data);
  }
}

/** UEFI_VARIABLE_DATA: GUID, two lengths of 64 bits, the name in UTF-16, the value. */
function readVariable(bytes: Uint8Array): { guid: string; name: string; data: Uint8Array } {
  const reader = new WireReader(bytes, "EFI variable", { littleEndian: true });
  const guid = toHex(reader.bytes(16));
  const [characters, length] = [reader.u64(), reader.u64()];
  if (characters > BigInt(bytes.length) || length > BigInt(bytes.length)) reader.fail("a length that cannot be");
  const name = utf16(reader.bytes(2 * Number(characters)));
  return { guid, name, data: reader.bytes(Number(length)) };
}

const MEDIA_DEVICE_PATH = 4;
const FILE_PATH = 4;
const END_OF_PATH = 0x7f;

/** UEFI_IMAGE_LOAD_EVENT: address, length, link address, then a device path, of which the file's parts are given. */
function readImagePath(bytes: Uint8Array): string {
  const reader = new WireReader(bytes, "EFI image", { littleEndian: true });
  reader.bytes(24);
  const length = reader.u64();
  if (length > BigInt(reader.remaining)) reader.fail("a length that cannot be");
  const path = new WireReader(reader.bytes(Number(length)), "device path", { littleEndian: true });
  const parts: string[] = [];
  while (path.remaining > 0) {
    const [type, subtype, size] = [path.u8(), path.u8(), path.u16()];
    if (type === END_OF_PATH) break;
    if (size < 4) path.fail("a node that cannot be");
    const data = path.bytes(size - 4);
    if (type === MEDIA_DEVICE_PATH && subtype === FILE_PATH) parts.push(utf16(data));
  }
  return parts.join("");
}

/** Text in UTF-8 or UTF-16, else how much there is. */
function textOf(bytes: Uint8Array): string {
  for (const read of [utf16, utf8]) {
    const text = orUndefined(() => read(bytes.subarray(0, 4 * MAX_TEXT)));
    if (text !== undefined && text.length > 0 && /^[\x20-\x7e\t]*$/.test(text)) return text;
  }
  return `${bytes.length} bytes`;
}

function utf8(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\0+$/, "");
}

function utf16(bytes: Uint8Array): string {
  return new TextDecoder("utf-16le", { fatal: true }).decode(bytes).replace(/\0+$/, "");
}

/** Descriptions are a help: one that cannot be read leaves the digest, which is what counts. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (errorCode(error) === "tpm-malformed" || errorCode(error) === "ERR_ENCODING_INVALID_ENCODED_DATA")
      return undefined;
    throw error;
  }
}
