import { z } from "zod";

const addressSchema = z.string().regex(/^0x[0-9a-fA-F]{40}$/, "not a contract address");

/** How a party reaches the chain that keeps the baselines. */
export const ledgerSchema = z.strictObject({
  /** JSON-RPC endpoint. */
  url: z.url({ protocol: /^https?$/ }),
  /** Address of the BaselineRegistry contract. */
  registry: addressSchema,
});
/** Where a verifier says at each interval what it has proved, and by which key. */
export const checkpointsSchema = z.strictObject({
  /** Address of the Checkpoints contract, on the chain of `ledger`. */
  contract: addressSchema,
  /** Address of the HostRegistry contract. */
  hosts: addressSchema.optional(),
  /** Encrypted key file. */
  key: z.string(),
  passphraseFile: z.string(),
  intervalMs: z.int().min(1000).default(60_000),
  /** How many checkpoints' lines are kept. */
  keep: z.int().min(1).max(1_000_000).default(1440),
});

export type LedgerConfig = z.infer<typeof ledgerSchema>;
