import { execute } from "../command.ts";
import { TPM_SU_CLEAR } from "../constants.ts";
import { responseName } from "../response-code.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

/** TPM2_Startup(TPM_SU_CLEAR) (part 3, "TPM2_Startup"). A TPM that has been started already is left as it is. */
export async function startup(tpm: Tpm): Promise<void> {
  try {
    const parameters = new WireWriter().u16(TPM_SU_CLEAR).done();
    const response = await execute(tpm, { name: "Startup", parameters });
    response.parameters.end();
  } catch (error) {
    if (responseName(error) !== "TPM_RC_INITIALIZE") throw error;
  }
}
