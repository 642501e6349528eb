import { type HashName, hashById, hashByName } from "./algorithms.ts";
import { MAX_DIGEST_BYTES } from "./constants.ts";
import { nameOver } from "./name.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** TPMS_NV_PUBLIC (TPM 2.0 Library part 2): what an NV index is. */
export interface NvPublic {
  /** 0x01000000 to 0x01ffffff. */
  readonly index: number;
  readonly nameAlg: HashName;
  /** TPMA_NV. */
  readonly attributes: number;
  readonly authPolicy: Uint8Array;
  /** Of the data, bytes. */
  readonly size: number;
}

/** Reads a whole TPMS_NV_PUBLIC. PimsError `tpm-malformed`. */
export function parseNvPublic(bytes: Uint8Array): NvPublic {
  const reader = new WireReader(bytes, "NV public area");
  const index = reader.u32();
  if (index >>> 24 !== 0x01) reader.fail(`0x${index.toString(16)} is not an NV index`);
  const nameAlg = hashById(reader.u16())?.name ?? reader.fail("the algorithm of its name is not supported");
  const attributes = reader.u32();
  const authPolicy = reader.sized(MAX_DIGEST_BYTES);
  const size = reader.u16();
  reader.end();
  return { index, nameAlg, attributes, authPolicy, size };
}

export function writeNvPublic({ index, nameAlg, attributes, authPolicy, size }: NvPublic): Uint8Array {
  return new WireWriter().u32(index).u16(hashByName(nameAlg).id).u32(attributes).sized(authPolicy).u16(size).done();
}

/** Name of an NV index: nameAlg ‖ H(TPMS_NV_PUBLIC). It changes once, with the first write. */
export function nvName(nvPublic: Uint8Array): Uint8Array {
  return nameOver(parseNvPublic(nvPublic).nameAlg, nvPublic);
}
