import { latin1, malformedTar } from "./tar-header.ts";

/** What a pax extended header says about the entry after it, as far as it matters here. */
export interface PaxRecords {
  readonly path?: Uint8Array;
  readonly linkPath?: Uint8Array;
  readonly size?: number;
}

/**
 * pax(1), "pax Extended Header": records `length keyword=value\n`, the last one of a keyword counts, an empty value
 * takes it back. Values are bytes: names that are not UTF-8 are found in real images. Throws `image-malformed`.
 */
export function parsePax(bytes: Uint8Array): PaxRecords {
  const records = new Map<string, Uint8Array>();
  for (let at = 0; at < bytes.length; ) {
    // The longest number that makes sense; without the bound a record could be searched for ever.
    const digits = /^([1-9][0-9]{0,8}) /.exec(latin1(bytes.subarray(at, at + 10)))?.[1];
    if (digits === undefined) throw malformedTar("an extended header is damaged");
    const end = at + Number(digits);
    const record = bytes.subarray(at + digits.length + 1, end - 1);
    const equals = record.indexOf(0x3d);
    if (end > bytes.length || bytes[end - 1] !== 0x0a || equals < 1)
      throw malformedTar("an extended header is damaged");
    records.set(latin1(record.subarray(0, equals)), record.subarray(equals + 1));
    at = end;
  }
  for (const key of records.keys()) if (key.startsWith("GNU.sparse.")) throw malformedTar("it has a sparse file");
  const path = records.get("path");
  const linkPath = records.get("linkpath");
  const size = records.get("size");
  return {
    ...(path?.length && { path: nameOf(path) }),
    ...(linkPath?.length && { linkPath: nameOf(linkPath) }),
    ...(size?.length && { size: sizeOf(size) }),
  };
}

function nameOf(value: Uint8Array): Uint8Array {
  if (value.includes(0)) throw malformedTar("a name has a zero byte");
  return value;
}

function sizeOf(value: Uint8Array): number {
  const text = latin1(value);
  const size = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(size)) throw malformedTar("a size is not a number");
  return size;
}
