import { hash } from "node:crypto";
import { concatBytes } from "../core/bytes.ts";
import { type HashName, hashByName } from "./algorithms.ts";
import { parsePublic } from "./public.ts";
import { WireWriter } from "./wire.ts";

/**
 * Name of an object: nameAlg ‖ H(TPMT_PUBLIC) (TPM 2.0 Library part 1, "Names"). Two keys with the same Name are the same
 * key with the same attributes. PimsError `tpm-malformed` for what is not a public area.
 */
export function computeName(publicArea: Uint8Array): Uint8Array {
  return nameOver(parsePublic(publicArea).nameAlg, publicArea);
}

/**
 * Qualified Name of a primary key: nameAlg ‖ H(handle of its hierarchy ‖ Name) (part 1, "Names"). A TPM puts it into
 * what the key signs, so it tells in which hierarchy the key is.
 */
export function primaryQualifiedName(publicArea: Uint8Array, hierarchy: number): Uint8Array {
  const { nameAlg } = parsePublic(publicArea);
  return nameOver(nameAlg, new WireWriter().u32(hierarchy).bytes(nameOver(nameAlg, publicArea)).done());
}

/** A Name over what it names: nameAlg ‖ H(bytes). */
export function nameOver(nameAlg: HashName, bytes: Uint8Array): Uint8Array {
  const id = new WireWriter().u16(hashByName(nameAlg).id).done();
  return concatBytes(id, new Uint8Array(hash(nameAlg, bytes, "buffer")));
}
