import { type HashName, TPM_ALG } from "../algorithms.ts";
import { parseAttest } from "../attest.ts";
import { execute } from "../command.ts";
import { writePcrSelection } from "../pcr-selection.ts";
import { EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";
import { type Attestation, readAttestation } from "./certify.ts";

export interface QuoteRequest {
  /** Of a loaded signing key with an empty authorisation. */
  readonly keyHandle: number;
  /** At most 64 bytes, or what the TPM's largest digest allows. */
  readonly nonce: Uint8Array;
  readonly pcrs: readonly number[];
  readonly bank?: HashName;
}

/** TPM2_Quote (part 3), by the key's own scheme. `tpm-malformed` when what comes is not a quote with a signature. */
export async function quote(tpm: Tpm, request: QuoteRequest): Promise<Attestation> {
  const { parameters } = await execute(tpm, {
    name: "Quote",
    handles: [request.keyHandle],
    authorizations: [EMPTY_PASSWORD],
    parameters: new WireWriter()
      .sized(request.nonce)
      .u16(TPM_ALG.NULL)
      .bytes(writePcrSelection(request.bank ?? "sha256", request.pcrs))
      .done(),
  });
  return readAttestation(parameters, parseAttest);
}
