import { PimsError } from "../../core/errors.ts";
import { type HashName, hashByName } from "../algorithms.ts";
import { execute } from "../command.ts";
import { FIRST_HANDLE } from "../constants.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

/**
 * New value = H(old value ‖ digest), in one bank (part 3, "TPM2_PCR_Extend"). After a `tpm-unreachable` or
 * `tpm-malformed` it may have happened or not: read the PCR to know, never repeat.
 */
export async function pcrExtend(tpm: Tpm, bank: HashName, pcr: number, digest: Uint8Array): Promise<void> {
  const { id, size } = hashByName(bank);
  if (digest.length !== size)
    throw new PimsError("tpm-malformed", `a digest of ${digest.length} bytes does not fit the ${bank} bank`);
  const { parameters } = await execute(tpm, {
    name: "PCR_Extend",
    handles: [FIRST_HANDLE.pcr + pcr],
    authorized: true,
    // TPML_DIGEST_VALUES of one TPMT_HA.
    parameters: new WireWriter().u32(1).u16(id).bytes(digest).done(),
  });
  parameters.end();
}
