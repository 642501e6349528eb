import { execute } from "../command.ts";
import { FIRST_HANDLE } from "../constants.ts";
import type { Tpm } from "../tpm.ts";

/**
 * Sets a PCR back to zero in all banks (part 3, "TPM2_PCR_Reset"). Anyone may do it with PCR 16 and 23, so these prove
 * nothing; of others PimsError `tpm-error` (TPM_RC_LOCALITY).
 */
export async function pcrReset(tpm: Tpm, pcr: number): Promise<void> {
  const { parameters } = await execute(tpm, {
    name: "PCR_Reset",
    handles: [FIRST_HANDLE.pcr + pcr],
    authorized: true,
    parameters: new Uint8Array(0),
  });
  parameters.end();
}
