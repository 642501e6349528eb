// For tests: events of a firmware's log, in the form in which Linux gives them.
import { hash } from "node:crypto";
import { concatBytes, fromHex } from "../../core/bytes.ts";

const le32 = (...values: number[]): Uint8Array => new Uint8Array(new Uint32Array(values).buffer);

/** TCG_PCR_EVENT. `hashed` is what the digest is of, where that is not the event's data. */
export function sha1Event(pcr: number, type: number, data: Uint8Array, hashed: Uint8Array = data): Uint8Array {
  const digest = new Uint8Array(hash("sha1", hashed, "buffer"));
  return concatBytes(le32(pcr, type), digest, le32(data.length), data);
}

/** The beginning of a crypto-agile log of one sha256 bank. */
export function sha256LogHeader(): Uint8Array {
  const data = concatBytes(Buffer.from("Spec ID Event03\0"), fromHex("0000000000020002010000000b00200000"));
  return concatBytes(le32(0, 3), new Uint8Array(20), le32(data.length), data);
}

/** TCG_PCR_EVENT2 with a digest of the sha256 bank. */
export function sha256Event(pcr: number, type: number, data: Uint8Array, hashed: Uint8Array = data): Uint8Array {
  const digest = new Uint8Array(hash("sha256", hashed, "buffer"));
  return concatBytes(le32(pcr, type, 1), fromHex("0b00"), digest, le32(data.length), data);
}

/** UEFI_VARIABLE_DATA of the variable SecureBoot. */
export function secureBootVariable(value: number): Uint8Array {
  const name = Buffer.from("SecureBoot", "utf16le");
  const guid = fromHex("61dfe48bca93d211aa0d00e098032b8c");
  return concatBytes(guid, le32(10, 0, 1, 0), name, new Uint8Array([value]));
}
