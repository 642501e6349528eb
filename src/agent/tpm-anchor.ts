import type { Quoter } from "../attest/collect.ts";
import { fromHex } from "../core/bytes.ts";
import type { Register } from "../log/measurement-log.ts";
import { createAk } from "../tpm/attestation-key.ts";
import { pcrExtend } from "../tpm/commands/pcr-extend.ts";
import { pcrRead } from "../tpm/commands/pcr-read.ts";
import { quote } from "../tpm/commands/quote.ts";
import { responseName } from "../tpm/response-code.ts";
import { openTpm } from "../tpm/tpm.ts";

/** The TPM as the agent uses it: one register, and one key that quotes it. */
export interface TpmAnchor {
  readonly register: Register;
  /** TPMT_PUBLIC of the attestation key. */
  readonly akPublic: Uint8Array;
  readonly quote: Quoter;
  close(): Promise<void>;
}

/**
 * Opens a TPM and makes its attestation key. The key comes from a template and the TPM's endorsement seed, so it is the
 * same at every start. Throws `tpm-unreachable`, `tpm-error`.
 */
export async function openTpmAnchor(address: string, pcr: number): Promise<TpmAnchor> {
  const tpm = await openTpm(address);
  try {
    let ak = await createAk(tpm);
    return {
      register: {
        pcr,
        read: async () => (await pcrRead(tpm, "sha256", [pcr])).get(pcr)!,
        extend: (digest) => pcrExtend(tpm, "sha256", pcr, fromHex(digest)),
      },
      akPublic: ak.publicArea,
      async quote(nonce) {
        try {
          return await quote(tpm, { keyHandle: ak.handle, nonce, pcrs: [pcr] });
        } catch (error) {
          if (responseName(error) !== "TPM_RC_REFERENCE_H0") throw error;
          // Another program made room in the TPM by flushing the key.
          ak = await createAk(tpm);
          return await quote(tpm, { keyHandle: ak.handle, nonce, pcrs: [pcr] });
        }
      },
      close: () => tpm.close(),
    };
  } catch (error) {
    await tpm.close();
    throw error;
  }
}
