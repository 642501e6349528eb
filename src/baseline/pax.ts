import { type DataRange, decimal, pairs } from "./sparse.ts";
import { latin1, malformedTar } from "./tar-header.ts";

/** What a pax extended header says about the entry after it, as far as it matters here. */
export interface PaxRecords {
  readonly path?: Uint8Array;
  readonly linkPath?: Uint8Array;
  readonly size?: number;
  readonly sparse?: PaxSparse;
}

/** A sparse file of GNU tar ("PAX Format, Versions 0.0, 0.1 and 1.0" in its manual). */
export interface PaxSparse {
  /** Null where the content begins with them (1.0). */
  readonly ranges: readonly DataRange[] | null;
  readonly name?: Uint8Array;
  /** Bytes of the whole file. */
  readonly realSize?: number;
}

/**
 * pax(1), "pax Extended Header": records `length keyword=value\n`, the last one of a keyword counts, an empty value
 * takes it back. Values are bytes: names that are not UTF-8 are found in real images. Throws `image-malformed`.
 */
export function parsePax(bytes: Uint8Array): PaxRecords {
  const records = new Map<string, Uint8Array>();
  // 0.0 repeats its keywords, which no other does.
  const sparse: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    // The longest number that makes sense; without the bound a record could be searched for ever.
    const digits = /^([1-9][0-9]{0,8}) /.exec(latin1(bytes.subarray(at, at + 10)))?.[1];
    if (digits === undefined) throw malformedTar("an extended header is damaged");
    const end = at + Number(digits);
    const record = bytes.subarray(at + digits.length + 1, end - 1);
    const equals = record.indexOf(0x3d);
    if (end > bytes.length || bytes[end - 1] !== 0x0a || equals < 1)
      throw malformedTar("an extended header is damaged");
    const keyword = latin1(record.subarray(0, equals));
    const value = record.subarray(equals + 1);
    if (keyword === "GNU.sparse.offset" || keyword === "GNU.sparse.numbytes") {
      if ((keyword === "GNU.sparse.offset") !== (sparse.length % 2 === 0))
        throw malformedTar("a sparse file's map has an offset without a size");
      sparse.push(latin1(value));
    } else records.set(keyword, value);
    at = end;
  }
  const path = records.get("path");
  const linkPath = records.get("linkpath");
  const size = records.get("size");
  const holes = sparseOf(records, sparse);
  return {
    ...(path?.length && { path: nameOf(path) }),
    ...(linkPath?.length && { linkPath: nameOf(linkPath) }),
    ...(size?.length && { size: decimal(latin1(size)) }),
    ...(holes !== undefined && { sparse: holes }),
  };
}

/** A version that is not known is refused: taken for a plain file, its content would be another one. */
function sparseOf(records: ReadonlyMap<string, Uint8Array>, repeated: readonly string[]): PaxSparse | undefined {
  const text = (keyword: string): string => latin1(records.get(`GNU.sparse.${keyword}`) ?? new Uint8Array(0));
  const map = repeated.length > 0 ? repeated : text("map") === "" ? null : text("map").split(",");
  const version = text("major") === "" && text("minor") === "" ? null : `${text("major")}.${text("minor")}`;
  if (version === null && map === null) {
    if ([...records.keys()].some((key) => key.startsWith("GNU.sparse."))) throw unknownForm();
    return undefined;
  }
  if (version !== null && !["0.0", "0.1", "1.0"].includes(version)) throw unknownForm();
  const name = records.get("GNU.sparse.name");
  const realSize = text("size") || text("realsize");
  return {
    ranges: version === "1.0" ? null : pairs(map ?? []),
    ...(name?.length && { name: nameOf(name) }),
    ...(realSize !== "" && { realSize: decimal(realSize) }),
  };
}

function unknownForm(): Error {
  return malformedTar("it has a sparse file of an unknown form");
}

function nameOf(value: Uint8Array): Uint8Array {
  if (value.includes(0)) throw malformedTar("a name has a zero byte");
  return value;
}
