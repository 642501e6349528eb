import { bytesEqual } from "../../core/bytes.ts";
import { execute } from "../command.ts";
import { MAX_DATA_BYTES, MAX_DIGEST_BYTES, MAX_NAME_BYTES } from "../constants.ts";
import { computeName } from "../name.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

export interface LoadedKey {
  readonly handle: number;
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
  readonly name: Uint8Array;
}

/** More than any TPMT_PUBLIC or TPMS_CREATION_DATA has. */
const MAX_STRUCTURE_BYTES = 1024;

/**
 * TPM2_CreatePrimary (part 3) with an empty authorisation of the hierarchy and of the new key. The same template gives
 * the same key, as long as the hierarchy's seed lives. The key stays loaded until it is flushed.
 */
export async function createPrimary(tpm: Tpm, hierarchy: number, template: Uint8Array): Promise<LoadedKey> {
  const sensitive = new WireWriter().u16(0).u16(0).done();
  const { handle, parameters } = await execute(tpm, {
    name: "CreatePrimary",
    handles: [hierarchy],
    authorized: true,
    // inSensitive, inPublic, outsideInfo, creationPCR
    parameters: new WireWriter().sized(sensitive).sized(template).u16(0).u32(0).done(),
    returnsHandle: true,
  });
  const publicArea = parameters.sized(MAX_STRUCTURE_BYTES);
  parameters.sized(MAX_STRUCTURE_BYTES); // creationData
  parameters.sized(MAX_DIGEST_BYTES); // creationHash
  parameters.u16(); // creationTicket: tag, hierarchy, digest
  parameters.u32();
  parameters.sized(MAX_DATA_BYTES);
  const name = parameters.sized(MAX_NAME_BYTES);
  parameters.end();
  if (!bytesEqual(name, computeName(publicArea))) parameters.fail("the name is not the key's");
  return { handle, publicArea, name };
}
