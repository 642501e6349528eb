import { execute } from "../command.ts";
import { MAX_STRUCTURE_BYTES } from "../constants.ts";
import type { Handle } from "../handle.ts";
import { type Authorization, EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { creationParameters, skipCreation } from "./create-primary.ts";

export interface CreatedKey {
  /** TPM2B_PRIVATE's content, encrypted by the parent: only the same TPM loads it. */
  readonly privateArea: Uint8Array;
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
}

/**
 * TPM2_Create (part 3): a new key below a loaded storage key. With a session that encrypts commands the authorisation
 * value is secret on its way. The key is not loaded; `load` does that.
 */
export async function create(
  tpm: Tpm,
  options: {
    readonly parent: Handle;
    readonly template: Uint8Array;
    /** Of the new key; empty unless given. */
    readonly authValue?: Uint8Array;
    /** For the parent. */
    readonly authorization?: Authorization;
    readonly sessions?: readonly Authorization[];
  },
): Promise<CreatedKey> {
  const { parameters } = await execute(tpm, {
    name: "Create",
    handles: [options.parent],
    authorizations: [options.authorization ?? EMPTY_PASSWORD, ...(options.sessions ?? [])],
    parameters: creationParameters(options.template, options.authValue),
  });
  const privateArea = parameters.sized(MAX_STRUCTURE_BYTES);
  const publicArea = parameters.sized(MAX_STRUCTURE_BYTES);
  skipCreation(parameters);
  parameters.end();
  return { privateArea, publicArea };
}
