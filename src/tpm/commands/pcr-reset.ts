import { executePlainly } from "../command.ts";
import { FIRST_HANDLE } from "../constants.ts";
import { EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";

/**
 * Sets a PCR back to zero in all banks (part 3, "TPM2_PCR_Reset"). Anyone may do it with PCR 16 and 23, so these prove
 * nothing; of others PimsError `tpm-error` (TPM_RC_LOCALITY).
 */
export async function pcrReset(tpm: Tpm, pcr: number): Promise<void> {
  await executePlainly(tpm, {
    name: "PCR_Reset",
    handles: [FIRST_HANDLE.pcr + pcr],
    authorizations: [EMPTY_PASSWORD],
    parameters: new Uint8Array(0),
  });
}
