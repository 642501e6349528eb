import { PimsError } from "../core/errors.ts";
import { type HashName, hashById, hashByName } from "./algorithms.ts";
import { MAX_BANKS, MAX_PCRS } from "./constants.ts";
import { type WireReader, WireWriter } from "./wire.ts";

/** TPMS_PCR_SELECTION (TPM 2.0 Library part 2): PCRs of one bank, in rising order. */
export interface PcrSelection {
  /** TPM_ALG_ID of the bank; also one that PIMS does not compute. */
  readonly algorithm: number;
  /** Undefined for such a one. */
  readonly bank: HashName | undefined;
  readonly pcrs: readonly number[];
}

/** sizeofSelect that every PC client TPM takes: PCR 0 to 23. */
const SELECT_BYTES = 3;

/** A TPML_PCR_SELECTION of one bank. Throws `tpm-malformed` for an index that is not 0 to 23. */
export function writePcrSelection(bank: HashName, pcrs: Iterable<number>): Uint8Array {
  const select = new Uint8Array(SELECT_BYTES);
  for (const pcr of pcrs) {
    if (!Number.isInteger(pcr) || pcr < 0 || pcr >= SELECT_BYTES * 8)
      throw new PimsError("tpm-malformed", `${pcr} is not a PCR that can be selected (0 to 23)`);
    select[pcr >> 3]! |= 1 << (pcr & 7);
  }
  return new WireWriter().u32(1).u16(hashByName(bank).id).u8(SELECT_BYTES).bytes(select).done();
}

/** Reads a TPML_PCR_SELECTION. */
export function readPcrSelections(reader: WireReader): PcrSelection[] {
  const selections: PcrSelection[] = [];
  for (let count = reader.count(MAX_BANKS); count > 0; count--) {
    const algorithm = reader.u16();
    const size = reader.u8();
    if (size > MAX_PCRS / 8) reader.fail(`a PCR selection of ${size} bytes`);
    const select = reader.bytes(size);
    const pcrs = Array.from({ length: size * 8 }, (_, pcr) => pcr).filter(
      (pcr) => select[pcr >> 3]! & (1 << (pcr & 7)),
    );
    selections.push({ algorithm, bank: hashById(algorithm)?.name, pcrs });
  }
  return selections;
}
