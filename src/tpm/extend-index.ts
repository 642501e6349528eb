import { concatBytes } from "../core/bytes.ts";
import { sha256 } from "../core/digest.ts";
import { TPM_CC, TPM_EO, TPMA_NV } from "./constants.ts";
import { type NvPublic, nvName, writeNvPublic } from "./nv-public.ts";
import { WireWriter } from "./wire.ts";

/**
 * An NV index that grows as a PCR does, and that nobody can begin anew unseen, not even the TPM's owner, who may delete it and
 * define it again (TPM 2.0 Library part 1, "NV Extend Index", "NV Counter Index").
 *
 * Beside it lives a counter. The index's policy, and with it its Name, says at which count C it begins: it takes its first
 * extend only while the counter is at C, and every further one only when the counter is above. A counter never goes back, also
 * when it is deleted and defined again. So an index of this Name that has been extended twice was begun once, and never can be
 * again; one that was defined later has another Name, and the TPM certifies content and Name together.
 *
 * As a PCR it starts anew with the machine (CLEAR_STCLEAR), and wears out no memory (ORDERLY).
 */
const ATTRIBUTES =
  TPMA_NV.typeExtend |
  TPMA_NV.policyWrite |
  TPMA_NV.authRead |
  TPMA_NV.ownerRead |
  TPMA_NV.noDA |
  TPMA_NV.orderly |
  TPMA_NV.clearStClear;

const COUNTER_ATTRIBUTES =
  TPMA_NV.typeCounter | TPMA_NV.authWrite | TPMA_NV.authRead | TPMA_NV.ownerRead | TPMA_NV.noDA;

const COUNTER_BYTES = 8;
const VALUE_BYTES = 32;

/** Public area of the counter of an index, as it is defined: the next number. */
export function counterPublic(index: number): NvPublic {
  return {
    index: index + 1,
    nameAlg: "sha256",
    attributes: COUNTER_ATTRIBUTES,
    authPolicy: new Uint8Array(0),
    size: COUNTER_BYTES,
  };
}

/** Public area of the index that begins at this count, as it is defined. */
export function extendPublic(index: number, count: bigint): NvPublic {
  return {
    index,
    nameAlg: "sha256",
    attributes: ATTRIBUTES,
    authPolicy: or([beginPolicy(index, count), goOnPolicy(index, count)]),
    size: VALUE_BYTES,
  };
}

/** Name of the index that begins at this count, once it has been extended: what TPM2_NV_Certify shows of it. */
export function extendName(index: number, count: bigint): Uint8Array {
  const nvPublic = extendPublic(index, count);
  return nvName(writeNvPublic({ ...nvPublic, attributes: nvPublic.attributes | TPMA_NV.written }));
}

/** Policy of the first extend: not written yet, and the counter is at the count. */
export function beginPolicy(index: number, count: bigint): Uint8Array {
  return comparesTo(index, nvWritten(false), count, TPM_EO.EQ);
}

/** Policy of every further extend: written, and the counter is above the count. */
export function goOnPolicy(index: number, count: bigint): Uint8Array {
  return comparesTo(index, nvWritten(true), count, TPM_EO.UNSIGNED_GT);
}

/** A count as PolicyNV compares it. */
export function countBytes(count: bigint): Uint8Array {
  return new WireWriter().u64(count).done();
}

const NO_POLICY = new Uint8Array(32);

/** Part 3, TPM2_PolicyNvWritten: H(old ‖ TPM_CC_PolicyNvWritten ‖ writtenSet). */
function nvWritten(written: boolean): Uint8Array {
  return sha256(
    NO_POLICY,
    new WireWriter()
      .u32(TPM_CC.PolicyNvWritten)
      .u8(written ? 1 : 0)
      .done(),
  );
}

/** Part 3, TPM2_PolicyNV: H(old ‖ TPM_CC_PolicyNV ‖ H(operandB ‖ offset ‖ operation) ‖ Name of the counter). */
function comparesTo(index: number, old: Uint8Array, count: bigint, operation: number): Uint8Array {
  const args = sha256(countBytes(count), new WireWriter().u16(0).u16(operation).done());
  const counter = counterPublic(index);
  const name = nvName(writeNvPublic({ ...counter, attributes: counter.attributes | TPMA_NV.written }));
  return sha256(old, new WireWriter().u32(TPM_CC.PolicyNV).done(), args, name);
}

/** Part 3, TPM2_PolicyOR: H(zeros ‖ TPM_CC_PolicyOR ‖ digests). */
function or(digests: readonly Uint8Array[]): Uint8Array {
  return sha256(NO_POLICY, new WireWriter().u32(TPM_CC.PolicyOR).done(), concatBytes(...digests));
}
