// For tests: entries of an IMA list, in the form in which Linux gives them.
import { hash } from "node:crypto";
import { concatBytes, fromHex } from "../../core/bytes.ts";

const le32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);

/** Each field with its length before it. */
export function fieldsOf(...fields: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...fields.flatMap((field) => [le32(field.length), field]));
}

export function imaEntryBytes(
  template: string,
  data: Uint8Array,
  options: { pcr?: number; digest?: Uint8Array } = {},
): Uint8Array {
  const digest = options.digest ?? new Uint8Array(hash("sha1", data, "buffer"));
  const name = Buffer.from(template);
  const head = concatBytes(le32(options.pcr ?? 10), digest, le32(name.length), name);
  return template === "ima" ? concatBytes(head, data) : concatBytes(head, le32(data.length), data);
}

/** An entry of template ima-ng for a file with this SHA-256, or another hash with its name as the kernel has it. */
export function imaNg(
  path: string,
  digest: string,
  options: { violation?: boolean; pcr?: number; path?: Uint8Array; algorithm?: string } = {},
): Uint8Array {
  const named = concatBytes(Buffer.from(`${options.algorithm ?? "sha256"}:\0`), fromHex(digest));
  const data = fieldsOf(named, concatBytes(options.path ?? Buffer.from(path), new Uint8Array(1)));
  const pcr = options.pcr ?? 10;
  return imaEntryBytes("ima-ng", data, options.violation ? { pcr, digest: new Uint8Array(20) } : { pcr });
}
