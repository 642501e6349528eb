import { createHash, createHmac } from "node:crypto";
import { concatBytes } from "../core/bytes.ts";
import { type HashName, hashByName } from "./algorithms.ts";
import { WireWriter } from "./wire.ts";

const u32 = (value: number): Uint8Array => new WireWriter().u32(value).done();
/** Labels are C strings: their final zero counts. */
const labelled = (label: string): Uint8Array => new Uint8Array(Buffer.from(`${label}\0`, "latin1"));

/** KDFa: SP 800-108 in counter mode with HMAC (TPM 2.0 Library part 1, "KDFa()"). `bits` is a multiple of eight. */
export function kdfa(
  hash: HashName,
  key: Uint8Array,
  label: string,
  contexts: readonly [u: Uint8Array, v: Uint8Array],
  bits: number,
): Uint8Array {
  return derive(hash, bits, (counter) =>
    createHmac(hash, key)
      .update(concatBytes(u32(counter), labelled(label), ...contexts, u32(bits)))
      .digest(),
  );
}

/** KDFe: SP 800-56A over the x coordinate of an ECDH point (part 1, "KDFe()"). The parties are x coordinates, too. */
export function kdfe(
  hash: HashName,
  z: Uint8Array,
  label: string,
  parties: readonly [u: Uint8Array, v: Uint8Array],
  bits: number,
): Uint8Array {
  return derive(hash, bits, (counter) =>
    createHash(hash)
      .update(concatBytes(u32(counter), z, labelled(label), ...parties))
      .digest(),
  );
}

function derive(hash: HashName, bits: number, block: (counter: number) => Uint8Array): Uint8Array {
  const length = bits / 8;
  const blocks = Math.ceil(length / hashByName(hash).size);
  return concatBytes(...Array.from({ length: blocks }, (_, index) => block(index + 1))).slice(0, length);
}
