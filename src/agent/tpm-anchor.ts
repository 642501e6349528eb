import type { Quoter } from "../attest/collect.ts";
import type { Enrollable } from "../attest/enroll-host.ts";
import { BOOT_PCRS, type PlatformWanted, platformPcrs } from "../attest/platform-evidence.ts";
import { fromHex, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { isNvIndex } from "../log/pcr.ts";
import type { Register } from "../log/register.ts";
import { createAk } from "../tpm/attestation-key.ts";
import type { Attestation } from "../tpm/commands/certify.ts";
import type { LoadedKey } from "../tpm/commands/create-primary.ts";
import { pcrExtend } from "../tpm/commands/pcr-extend.ts";
import { pcrRead } from "../tpm/commands/pcr-read.ts";
import { quote } from "../tpm/commands/quote.ts";
import { findEndorsementKey, openCredential, withEk } from "../tpm/endorsement-key.ts";
import { NvRegister } from "../tpm/nv-register.ts";
import { responseName } from "../tpm/response-code.ts";
import { openTpm, type Tpm } from "../tpm/tpm.ts";
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
 * same at every start. `pcr` is the register's handle, as the setting says. Throws `tpm-unreachable`, `tpm-error`.
 */
export async function openTpmAnchor(address: string, pcr: number): Promise<TpmAnchor> {
  const tpm = await openTpm(address);
  try {
    let ak = await createAk(tpm);
    const logs = new PlatformLogs();
    const withAk = async (work: (key: LoadedKey) => Promise<Attestation>) => {
      try {
        return await work(ak);
      } catch (error) {
        if (responseName(error) !== "TPM_RC_REFERENCE_H0") throw error;
        // Another program made room in the TPM by flushing the key.
        ak = await createAk(tpm);
        return await work(ak);
      }
    };
    const quotePcrs = (nonce: Uint8Array, pcrs: readonly number[]) =>
      withAk(({ handle }) => quote(tpm, { keyHandle: handle, nonce, pcrs }));
    const nv = isNvIndex(pcr) ? new NvRegister(tpm, pcr) : null;
    return {
      identity: toHex(ak.name),
      register: nv === null ? pcrRegister(tpm, pcr) : nvRegister(nv),
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
      quote: (nonce) => (nv === null ? quotePcrs(nonce, [pcr]) : withAk((key) => nv.certify(key, nonce))),
      async quotePlatform(nonce, wanted) {
        if (nv !== null)
          throw new PimsError(
            "config-invalid",
            "the verifier wants what is below the agent proved, which takes a PCR as the register",
          );
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

function pcrRegister(tpm: Tpm, pcr: number): Register {
  return {
    pcr,
    read: async () => (await pcrRead(tpm, "sha256", [pcr])).get(pcr)!,
    extend: (digest) => pcrExtend(tpm, "sha256", pcr, fromHex(digest)),
  };
}

function nvRegister(nv: NvRegister): Register {
  return {
    pcr: nv.index,
    read: () => nv.read(),
    extend: (digest) => nv.extend(fromHex(digest)),
    begin: async () => ({ count: String(await nv.begin()) }),
    goOn: ({ count }) => nv.goOn(BigInt(count)),
  };
}
