import { z } from "zod";
import { digestSchema, textSchema } from "../log/finding.ts";

/** Steps of a boot that are kept; real ones have 20 to 200. */
export const MAX_STEPS = 1024;
/** Files other than released that are kept: the first of them condemns already. */
export const MAX_DEVIATIONS = 64;

const count = z.int().min(0);

const firmwareSchema = z.object({
  /** Why the log could not be replayed; null when it could. */
  problem: textSchema.nullable(),
  secureBoot: z.enum(["on", "off", "unknown"]),
  steps: z
    .array(z.object({ pcr: count, type: z.string(), digest: z.string(), text: z.string(), bound: z.boolean() }))
    .max(MAX_STEPS),
  /** Further steps, of which no more is known. */
  more: count,
  /** PCRs to which the log does not lead. */
  disagree: z.array(count),
});
export type FirmwareState = z.infer<typeof firmwareSchema>;

const imaSchema = z.object({
  /** Entries that were proved, and PCR 10 after them. */
  count,
  value: digestSchema,
  /** Whether this kernel extends digests of SHA-1 with zeros behind them. */
  padded: z.boolean(),
  /** By which releases the entries were judged. */
  releases: z.string(),
  violations: count,
  agentFiles: count,
  runtimeFiles: count,
  deviations: z
    .array(
      z.object({
        part: z.enum(["agent", "runtime"]),
        path: z.string(),
        /** With the name of its hash before it; null for a violation: the file was written to while it was in use. */
        digest: z.string().nullable(),
        /** False for a file that no release has there. */
        listed: z.boolean(),
        /** Of the process, where the kernel says it. */
        cgroup: z.string().nullable(),
      }),
    )
    .max(MAX_DEVIATIONS),
});
export type ImaState = z.infer<typeof imaSchema>;

/** What quotes have proved of this boot of a host, below its agent. Bounded, whatever the host measures. */
export const platformStateSchema = z.object({
  boot: z.object({ resetCount: count, restartCount: count }),
  pcrs: z.array(digestSchema),
  /** The agent's PCR. */
  own: digestSchema,
  /** Null until the firmware's log has come. */
  firmware: firmwareSchema.nullable(),
  ima: imaSchema.nullable(),
});
export type PlatformState = z.infer<typeof platformStateSchema>;
