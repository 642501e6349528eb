import { hostname } from "node:os";
import { z } from "zod";
import { addressSchema, MAX_PINS, pinSchema } from "../attest/verifier-address.ts";
import { ledgerSchema } from "../ledger/config.ts";
import { pcrSchema } from "../log/pcr.ts";
import { gateSchema } from "../respond/gate-policy.ts";
import { policySchema } from "../respond/policy.ts";

export const agentConfigSchema = z.strictObject({
  /** The name under which the verifier knows this host. */
  host: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "1 to 63 letters, digits, dots or dashes")
    .default(() => hostname().slice(0, 63)),
  /** Folder for the measurement log and the host's token. */
  state: z.string().default("/var/lib/pims/agent"),
  /** `device`, `device:PATH`, `unix:PATH` or `tcp:HOST:PORT`. */
  tpm: z.string().default("device"),
  pcr: pcrSchema,
  verifier: z
    .strictObject({
      /** As the verifier prints it, with the pin of its key behind `#` or without; else the join file tells. */
      url: addressSchema.optional(),
      /** More pins: of the key that the verifier will have next, for one. */
      pins: z.array(pinSchema).max(MAX_PINS).default([]),
      /** What the host is enrolled with; needed until it is. */
      joinFile: z.string().optional(),
    })
    .refine(({ url, joinFile }) => url !== undefined || joinFile !== undefined, "give url or joinFile"),
  ledger: ledgerSchema,
  /** Between the starts of two sweeps. */
  sweepIntervalMs: z.int().min(50).max(3_600_000).default(1000),
  /** How large a file of the log becomes before another goes on; those that a quote has proved are then removed. */
  segmentBytes: z.int().min(1_048_576).max(1_073_741_824).default(67_108_864),
  /** How fast code in memory is read again, to find a page cache that was overwritten; 0 for not at all. */
  scrubBytesPerSecond: z.int().min(0).max(1_073_741_824).default(1_048_576),
  /** Between two attestations when nothing happens; a violation is attested at once. */
  attestIntervalMs: z.int().min(100).max(3_600_000).default(10_000),
  /** `fallback` uses only what kernels before 6.7 offer. */
  method: z.enum(["auto", "fallback"]).default("auto"),
  policy: policySchema.prefault({}),
  /** The gate before exec. */
  gate: gateSchema.prefault({}),
});
export type AgentConfig = z.infer<typeof agentConfigSchema>;
