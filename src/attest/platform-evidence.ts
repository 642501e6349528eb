import { z } from "zod";
import { digestSchema } from "../log/finding.ts";
import { IMA_PCR } from "../tpm/event-log/ima.ts";

/** PCR 0 to 9: firmware, its settings, boot loader, kernel (TCG PC Client Platform Firmware Profile, "PCR Usage"). */
export const BOOT_PCRS: readonly number[] = Array.from({ length: 10 }, (_, pcr) => pcr);

/** Firmware logs have some ten or hundred kilobytes. */
export const MAX_FIRMWARE_LOG_BYTES = 1024 * 1024;
/** Of an IMA list in one message, which must hold all that the verifier lacks: some 140 000 entries. */
export const MAX_IMA_BYTES = 16 * 1024 * 1024;

const base64 = (bytes: number) => z.base64().max(Math.ceil(bytes / 3) * 4);

/** What a verifier lacks of what leads to the registers below the agent's. */
export const platformWantedSchema = z.object({ firmwareLog: z.boolean(), imaFrom: z.int().min(0) });
export type PlatformWanted = z.infer<typeof platformWantedSchema>;

/** What leads to the registers below the agent's. The host's word until it leads to a quote. */
export const platformEvidenceSchema = z.strictObject({
  /** Values of PCR 0 to 9 of the SHA-256 bank, and of the agent's. PCR 10 follows from the list: it changes at any time. */
  pcrs: z.array(digestSchema).length(BOOT_PCRS.length),
  own: digestSchema,
  /** The firmware's event log; null where the host has none, absent where the verifier has it. */
  firmwareLog: base64(MAX_FIRMWARE_LOG_BYTES).nullable().optional(),
  /** Entries of the IMA list from number `from` on, as the kernel gives them; null where the kernel measures no files. */
  ima: z.strictObject({ from: z.int().min(0), entries: base64(MAX_IMA_BYTES) }).nullable(),
});
export type PlatformEvidence = z.infer<typeof platformEvidenceSchema>;

/** The registers that a quote covers when a host is judged with what is below the agent. */
export function platformPcrs(own: number): number[] {
  return [...BOOT_PCRS, IMA_PCR, own];
}
