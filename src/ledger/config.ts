import { z } from "zod";

const addressSchema = z.string().regex(/^0x[0-9a-fA-F]{40}$/, "not a contract address");

/** How a party reaches the chain that keeps the baselines. */
const endpointSchema = z.url({ protocol: /^https?$/ });

/** Long enough to start a chain again, short enough for who counts on a revocation. */
export const HOLD_MS = 600_000;

export const ledgerSchema = z
  .strictObject({
    /** JSON-RPC endpoint. */
    url: endpointSchema,
    /** More endpoints of the same chain, each kept by somebody else. */
    witnesses: z.array(endpointSchema).max(15).default([]),
    /** How many of all endpoints must have the same block; without it more than half. */
    agree: z.int().min(1).max(16).optional(),
    /** How many blocks must be above the one that is read, or what the chain calls final. */
    depth: z.union([z.int().min(0).max(1000), z.literal("finalized")]).default(0),
    /** How old the newest block may be to prove anything; without it as old as it likes. */
    maxAgeMs: z.int().min(1000).optional(),
    /** How long an approval that was read holds while nothing can be proved of the ledger; 0: not at all. */
    holdMs: z.int().min(0).max(604_800_000).default(HOLD_MS),
    /** Address of the BaselineRegistry contract. */
    registry: addressSchema,
  })
  .refine(
    ({ url, witnesses }) => new Set([url, ...witnesses]).size === 1 + witnesses.length,
    "an endpoint stands twice",
  )
  .refine(
    ({ witnesses, agree }) =>
      agree === undefined || (agree <= 1 + witnesses.length && 2 * agree > 1 + witnesses.length),
    "'agree' is more than half of all endpoints, and not more than all",
  );
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

/** What to say at a start to who configured one endpoint only; undefined with several. */
export function singleEndpointNotice({ url, witnesses = [] }: LedgerConfig): string | undefined {
  if (witnesses.length > 0) return undefined;
  return `the ledger is what ${url} says it is: 'ledger.witnesses' names more endpoints that must agree`;
}

export type LedgerConfig = z.input<typeof ledgerSchema>;
