import { PimsError } from "../../core/errors.ts";
import { type HashName, hashByName } from "../algorithms.ts";
import { executePlainly } from "../command.ts";
import { FIRST_HANDLE, MAX_BANKS } from "../constants.ts";
import { EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

/**
 * New value = H(old value ‖ digest), in one bank (part 3, "TPM2_PCR_Extend"). After a `tpm-unreachable` or
 * `tpm-malformed` it may have happened or not: read the PCR to know, never repeat.
 */
export function pcrExtend(tpm: Tpm, bank: HashName, pcr: number, digest: Uint8Array): Promise<void> {
  return pcrExtendBanks(tpm, pcr, new Map([[bank, digest]]));
}

/**
 * The same in several banks at once. A TPM says nothing about a bank that it has the algorithm of and no PCRs in; `pcrRead`
 * tells such a bank.
 */
export async function pcrExtendBanks(tpm: Tpm, pcr: number, digests: ReadonlyMap<HashName, Uint8Array>): Promise<void> {
  if (digests.size > MAX_BANKS) throw new PimsError("tpm-malformed", "too many banks to extend at once");
  // TPML_DIGEST_VALUES of TPMT_HA.
  const parameters = new WireWriter().u32(digests.size);
  for (const [bank, digest] of digests) {
    const { id, size } = hashByName(bank);
    if (digest.length !== size)
      throw new PimsError("tpm-malformed", `a digest of ${digest.length} bytes does not fit the ${bank} bank`);
    parameters.u16(id).bytes(digest);
  }
  await executePlainly(tpm, {
    name: "PCR_Extend",
    handles: [FIRST_HANDLE.pcr + pcr],
    authorizations: [EMPTY_PASSWORD],
    parameters: parameters.done(),
  });
}
