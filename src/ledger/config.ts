import { z } from "zod";

/** How a party reaches the chain that keeps the baselines. */
export const ledgerSchema = z.strictObject({
  /** JSON-RPC endpoint. */
  url: z.url({ protocol: /^https?$/ }),
  /** Address of the BaselineRegistry contract. */
  registry: z.string().regex(/^0x[0-9a-fA-F]{40}$/, "not a contract address"),
});
export type LedgerConfig = z.infer<typeof ledgerSchema>;
