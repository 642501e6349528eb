import type { Quoter } from "../attest/collect.ts";
import { AK_TEMPLATE } from "../tpm/attestation-key.ts";
import { flushContext } from "../tpm/commands/context.ts";
import { createPrimary } from "../tpm/commands/create-primary.ts";
import { quote } from "../tpm/commands/quote.ts";
import { TPM_RH_OWNER } from "../tpm/constants.ts";
import { openTpm } from "../tpm/tpm.ts";

/** A key of the same TPM with the same template, but of the owner's hierarchy: as good as the AK, and not the AK. */
export async function openForeignKey(address: string, pcr: number): Promise<{ quote: Quoter; close(): Promise<void> }> {
  const tpm = await openTpm(address);
  const key = await createPrimary(tpm, TPM_RH_OWNER, AK_TEMPLATE);
  return {
    quote: (nonce) => quote(tpm, { keyHandle: key.handle, nonce, pcrs: [pcr] }),
    async close() {
      await flushContext(tpm, key.handle);
      await tpm.close();
    },
  };
}
