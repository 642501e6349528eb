import { executePlainly } from "../command.ts";
import { TPM_RH_OWNER } from "../constants.ts";
import type { Handle } from "../handle.ts";
import { type Authorization, EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

/**
 * TPM2_EvictControl (part 3), by the owner: keeps a loaded key at the persistent handle `place` (0x81000000 to
 * 0x817fffff), or removes one when `object` is the persistent key itself.
 */
export async function evictControl(
  tpm: Tpm,
  object: Handle,
  place: number,
  authorization: Authorization = EMPTY_PASSWORD,
): Promise<void> {
  await executePlainly(tpm, {
    name: "EvictControl",
    handles: [TPM_RH_OWNER, object],
    authorizations: [authorization],
    parameters: new WireWriter().u32(place).done(),
  });
}
