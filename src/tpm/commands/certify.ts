import { TPM_ALG } from "../algorithms.ts";
import { parseCertifyAttest, parseNvAttest } from "../attest.ts";
import { execute } from "../command.ts";
import { MAX_STRUCTURE_BYTES } from "../constants.ts";
import type { Handle } from "../handle.ts";
import { type Authorization, EMPTY_PASSWORD } from "../session.ts";
import { parseSignature } from "../signature.ts";
import type { Tpm } from "../tpm.ts";
import { type WireReader, WireWriter } from "../wire.ts";
import type { NvIndex } from "./nv.ts";

/** What a TPM said about itself, and its key's signature over these very bytes. */
export interface Attestation {
  /** TPMS_ATTEST, the bytes that were signed. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
}

/** TPM2_Certify (part 3): the key at `signer` says that the object is loaded in its TPM, under this Name. */
export async function certify(
  tpm: Tpm,
  options: {
    readonly object: Handle;
    readonly signer: Handle;
    readonly nonce: Uint8Array;
    /** For the object; its own empty password unless given. */
    readonly authorization?: Authorization;
  },
): Promise<Attestation> {
  const { parameters } = await execute(tpm, {
    name: "Certify",
    handles: [options.object, options.signer],
    authorizations: [options.authorization ?? EMPTY_PASSWORD, EMPTY_PASSWORD],
    parameters: new WireWriter().sized(options.nonce).u16(TPM_ALG.NULL).done(),
  });
  return readAttestation(parameters, parseCertifyAttest);
}

/** TPM2_NV_Certify (part 3): the key at `signer` says what the whole of an NV index holds, read by the index's own authorisation. */
export async function nvCertify(
  tpm: Tpm,
  options: {
    readonly index: NvIndex;
    readonly signer: Handle;
    readonly nonce: Uint8Array;
    readonly authorization?: Authorization;
  },
): Promise<Attestation> {
  const { index } = options;
  const { parameters } = await execute(tpm, {
    name: "NV_Certify",
    handles: [options.signer, index, index],
    authorizations: [EMPTY_PASSWORD, options.authorization ?? EMPTY_PASSWORD],
    parameters: new WireWriter().sized(options.nonce).u16(TPM_ALG.NULL).u16(index.nvPublic.size).u16(0).done(),
  });
  return readAttestation(parameters, parseNvAttest);
}

/** TPM2B_ATTEST, then TPMT_SIGNATURE. `tpm-malformed` for an attestation that `parse` does not take. */
export function readAttestation(parameters: WireReader, parse: (attest: Uint8Array) => unknown): Attestation {
  const attest = parameters.sized(MAX_STRUCTURE_BYTES);
  const signature = parameters.rest();
  parse(attest);
  parseSignature(signature);
  return { attest, signature };
}
