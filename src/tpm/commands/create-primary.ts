import { bytesEqual } from "../../core/bytes.ts";
import { execute } from "../command.ts";
import { MAX_DATA_BYTES, MAX_DIGEST_BYTES, MAX_NAME_BYTES, MAX_STRUCTURE_BYTES } from "../constants.ts";
import { computeName } from "../name.ts";
import { EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { type WireReader, WireWriter } from "../wire.ts";

export interface LoadedKey {
  readonly handle: number;
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
  readonly name: Uint8Array;
}

/**
 * TPM2_CreatePrimary (part 3) with an empty authorisation of the hierarchy and of the new key. The same template gives
 * the same key, as long as the hierarchy's seed lives. The key stays loaded until it is flushed.
 */
export async function createPrimary(tpm: Tpm, hierarchy: number, template: Uint8Array): Promise<LoadedKey> {
  const { handle, parameters } = await execute(tpm, {
    name: "CreatePrimary",
    handles: [hierarchy],
    authorizations: [EMPTY_PASSWORD],
    parameters: creationParameters(template),
    returnsHandle: true,
  });
  const publicArea = parameters.sized(MAX_STRUCTURE_BYTES);
  skipCreation(parameters);
  const name = parameters.sized(MAX_NAME_BYTES);
  parameters.end();
  if (!bytesEqual(name, computeName(publicArea))) parameters.fail("the name is not the key's");
  return { handle, publicArea, name };
}

/** inSensitive (TPMS_SENSITIVE_CREATE), inPublic, outsideInfo, creationPCR. */
export function creationParameters(template: Uint8Array, authValue: Uint8Array = new Uint8Array(0)): Uint8Array {
  const sensitive = new WireWriter().sized(authValue).u16(0).done();
  return new WireWriter().sized(sensitive).sized(template).u16(0).u32(0).done();
}

/** creationData, creationHash and creationTicket, which say where a key was created. */
export function skipCreation(parameters: WireReader): void {
  parameters.sized(MAX_STRUCTURE_BYTES);
  parameters.sized(MAX_DIGEST_BYTES);
  readTicket(parameters);
}

/** A ticket: tag, hierarchy, digest. */
export function readTicket(parameters: WireReader): void {
  parameters.u16();
  parameters.u32();
  parameters.sized(MAX_DATA_BYTES);
}
