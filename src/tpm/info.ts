import { type HashName, hashById } from "./algorithms.ts";
import { getAlgorithms, getHandles, getPcrBanks, getProperties } from "./commands/get-capability.ts";
import { FIRST_HANDLE, TPM_PT } from "./constants.ts";
import type { PcrSelection } from "./pcr-selection.ts";
import type { Tpm } from "./tpm.ts";
import { WireWriter } from "./wire.ts";

/** What a TPM says about itself; it proves none of it. */
export interface TpmInfo {
  /** TPM_PT_FAMILY_INDICATOR, "2.0". */
  readonly family: string;
  /** Revision of the specification, "1.59". */
  readonly revision: string;
  /** Four letters, "INTC", "IBM", … */
  readonly manufacturer: string;
  readonly vendor: string;
  /** As quotes contain it. */
  readonly firmwareVersion: bigint;
  readonly banks: readonly PcrSelection[];
  /** Of the hash algorithms that PIMS computes. */
  readonly hashes: readonly HashName[];
  readonly transientHandles: readonly number[];
  readonly persistentHandles: readonly number[];
}

export async function tpmInfo(tpm: Tpm): Promise<TpmInfo> {
  const properties = await getProperties(tpm, TPM_PT.FAMILY_INDICATOR, 32);
  const number = (tag: number): number => properties.get(tag) ?? 0;
  const text = (...tags: number[]): string => tags.map((tag) => lettersOf(number(tag))).join("");
  const revision = number(TPM_PT.REVISION);
  const hashes = [...(await getAlgorithms(tpm)).keys()].flatMap((id) => hashById(id)?.name ?? []);
  return {
    family: text(TPM_PT.FAMILY_INDICATOR),
    revision: `${Math.floor(revision / 100)}.${String(revision % 100).padStart(2, "0")}`,
    manufacturer: text(TPM_PT.MANUFACTURER).trim(),
    vendor: text(TPM_PT.VENDOR_STRING_1, TPM_PT.VENDOR_STRING_2, TPM_PT.VENDOR_STRING_3, TPM_PT.VENDOR_STRING_4).trim(),
    firmwareVersion: (BigInt(number(TPM_PT.FIRMWARE_VERSION_1)) << 32n) | BigInt(number(TPM_PT.FIRMWARE_VERSION_2)),
    banks: await getPcrBanks(tpm),
    hashes,
    transientHandles: await getHandles(tpm, FIRST_HANDLE.transient),
    persistentHandles: await getHandles(tpm, FIRST_HANDLE.persistent),
  };
}

/** Four characters in a 32-bit number; what is not printable ASCII is left out, as it ends in a person's terminal. */
function lettersOf(value: number): string {
  const bytes = new WireWriter().u32(value).done();
  return [...bytes]
    .filter((byte) => byte >= 0x20 && byte < 0x7f)
    .map((byte) => String.fromCharCode(byte))
    .join("");
}
