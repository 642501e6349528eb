import type { Quoter } from "../attest/collect.ts";
import type { Enrollable } from "../attest/enroll-host.ts";
import { BOOT_PCRS, type PlatformWanted, platformPcrs } from "../attest/platform-evidence.ts";
import { fromHex, toHex } from "../core/bytes.ts";
import type { Register } from "../log/register.ts";
import { createAk } from "../tpm/attestation-key.ts";
import { pcrExtend } from "../tpm/commands/pcr-extend.ts";
import { pcrRead } from "../tpm/commands/pcr-read.ts";
import { quote } from "../tpm/commands/quote.ts";
import { findEndorsementKey, openCredential, withEk } from "../tpm/endorsement-key.ts";
import { responseName } from "../tpm/response-code.ts";
import { openTpm } from "../tpm/tpm.ts";
import { PlatformLogs } from "./platform-logs.ts";

/** The TPM as the agent uses it: one register, and one key that quotes it. */
export interface TpmAnchor extends Enrollable {
  /** Name of the attestation key, hexadecimal: the same one for everybody who uses this TPM, by whatever address. */
  readonly identity: string;
  readonly register: Register;
  readonly quote: Quoter;
  /** A quote that covers the registers below the agent, too, and what leads to them. */
  quotePlatform(nonce: Uint8Array, wanted: PlatformWanted): ReturnType<Quoter>;
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
    const logs = new PlatformLogs();
    const quotePcrs = async (nonce: Uint8Array, pcrs: readonly number[]) => {
      try {
        return await quote(tpm, { keyHandle: ak.handle, nonce, pcrs });
      } catch (error) {
        if (responseName(error) !== "TPM_RC_REFERENCE_H0") throw error;
        // Another program made room in the TPM by flushing the key.
        ak = await createAk(tpm);
        return await quote(tpm, { keyHandle: ak.handle, nonce, pcrs });
      }
    };
    return {
      identity: toHex(ak.name),
      register: {
        pcr,
        read: async () => (await pcrRead(tpm, "sha256", [pcr])).get(pcr)!,
        extend: (digest) => pcrExtend(tpm, "sha256", pcr, fromHex(digest)),
      },
      akPublic: ak.publicArea,
      async showEk() {
        const { kind, certificate } = await findEndorsementKey(tpm);
        return { certificate, publicArea: await withEk(tpm, kind, async (ek) => ek.publicArea) };
      },
      async openCredential(blob) {
        const { kind } = await findEndorsementKey(tpm);
        ak = await createAk(tpm);
        return openCredential(tpm, kind, ak, blob);
      },
      quote: (nonce) => quotePcrs(nonce, [pcr]),
      async quotePlatform(nonce, wanted) {
        // Nobody changes these meanwhile: the boot is over, and the agent's own is read in its turn.
        const values = await pcrRead(tpm, "sha256", [...BOOT_PCRS, pcr]);
        const quoted = await quotePcrs(nonce, platformPcrs(pcr));
        // After the quote, so that the list holds what the quoted PCR 10 does.
        const given = await logs.read(wanted);
        const pcrs = BOOT_PCRS.map((index) => toHex(values.get(index)!));
        return { ...quoted, platform: { pcrs, own: toHex(values.get(pcr)!), ...given } };
      },
      close: () => tpm.close(),
    };
  } catch (error) {
    await tpm.close();
    throw error;
  }
}
