import { z } from "zod";
import { maxValidators } from "./header/commit-seals.ts";
import { endpointName } from "./rpc/rpc.ts";

const addressSchema = z.string().regex(/^0x[0-9a-fA-F]{40}$/, "not an address");

const endpointSchema = z.url({ protocol: /^https?$/, error: "not an http or https URL" });

const LOOPBACK = /^(localhost\.?|127(\.\d+){3}|\[::1\])$/;

/** The same endpoint is the same however its address is written; this machine is so under all of its own names. */
function normalized(text: string): string {
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  if (LOOPBACK.test(url.hostname)) url.hostname = "127.0.0.1";
  return url.href;
}

/** Age of the newest block, milliseconds, where seals prove it: then nothing else tells an old block from the newest one. */
export const SEALED_MAX_AGE_MS = 300_000;

/** The chain's number: headers do not hold it, and what an endpoint says could make it another ledger each time. */
const chainId = z.int().min(1);

/** Whose commit seals prove a block, besides whom nobody's word on it counts. */
const validatorsSchema = z.strictObject({
  /** `ibft2`: Besu's IBFT 2.0. */
  kind: z.enum(["qbft", "ibft2"]),
  chainId,
  addresses: z
    .array(z.string().regex(/^0x[0-9a-fA-F]{40}$/, "not a validator's address"))
    .min(1)
    .max(maxValidators)
    .refine(
      (addresses) => new Set(addresses.map((address) => address.toLowerCase())).size === addresses.length,
      "a validator stands twice",
    ),
});

/** What geth takes where a genesis file of Clique (EIP-225) says nothing. */
export const CLIQUE_EPOCH = 30_000;
/** Chains that make blocks by themselves make one a second at most. */
export const CLIQUE_PERIOD_MS = 1000;

/** Where a Clique chain is followed from, and what its genesis file says. */
const cliqueSchema = z
  .strictObject({
    chainId,
    /** An epoch's first block, or block 0. */
    checkpoint: z.strictObject({
      number: z.int().min(0),
      hash: z.string().regex(/^0x[0-9a-fA-F]{64}$/, "not a block's hash"),
    }),
    /** Blocks an epoch. */
    epoch: z.int().min(1).default(CLIQUE_EPOCH),
    periodMs: z.int().min(0).max(86_400_000).multipleOf(1000).default(CLIQUE_PERIOD_MS),
  })
  .refine(({ checkpoint, epoch }) => checkpoint.number % epoch === 0, "a checkpoint is an epoch's first block");

/** Long enough to start a chain again, short enough for who counts on a revocation. */
export const HOLD_MS = 600_000;

/** How a party reaches the chain that keeps the baselines. */
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
    /** The block is believed by these validators' seals, not by agreement. */
    validators: validatorsSchema.optional(),
    /** The block is believed because its Clique chain was followed to it. */
    clique: cliqueSchema.optional(),
    /** How old the newest block may be to prove anything; without it as old as it likes, or `SEALED_MAX_AGE_MS`. */
    maxAgeMs: z.int().min(1000).optional(),
    /** How long an approval that was read holds while nothing can be proved of the ledger; 0: not at all. */
    holdMs: z.int().min(0).max(604_800_000).default(HOLD_MS),
    /** Address of the BaselineRegistry contract. */
    registry: addressSchema,
  })
  .refine(
    ({ url, witnesses }) => new Set([url, ...witnesses].map(normalized)).size === 1 + witnesses.length,
    "an endpoint stands twice",
  )
  .refine(
    ({ witnesses, agree }) =>
      agree === undefined || (agree <= 1 + witnesses.length && 2 * agree > 1 + witnesses.length),
    "'agree' is more than half of all endpoints, and not more than all",
  )
  .refine(
    ({ validators, clique }) => validators === undefined || clique === undefined,
    "a chain has 'validators' or is of 'clique', not both",
  )
  .refine(
    (config) => !isSealed(config) || config.agree === undefined,
    "seals prove a block whatever endpoints agree on: 'agree' does not go with them",
  )
  .refine(
    ({ validators, depth }) => validators === undefined || depth === 0,
    "a block that validators sealed is final: 'depth' is for other chains",
  )
  .refine(
    ({ clique, depth }) => clique === undefined || depth !== "finalized",
    "a Clique chain calls no block final: 'depth' is a number there",
  );

/** Whether seals prove the block, not endpoints that agree. */
export function isSealed({ validators, clique }: { validators?: unknown; clique?: unknown }): boolean {
  return validators !== undefined || clique !== undefined;
}

/** How many endpoints must have a block for it to be believed. */
export function endpointsNeeded(config: Omit<LedgerConfig, "registry">): number {
  if (isSealed(config)) return 1;
  return config.agree ?? Math.floor((1 + (config.witnesses?.length ?? 0)) / 2) + 1;
}

/** Where a verifier says at each interval what it has proved, and by which key. */
export const checkpointsSchema = z
  .strictObject({
    /** Address of the Checkpoints contract, on the chain of `ledger`. */
    contract: addressSchema,
    /** Address of the HostRegistry contract. */
    hosts: addressSchema.optional(),
    /** Encrypted key file. */
    key: z.string().optional(),
    passphraseFile: z.string().optional(),
    /** Instead of them a signer that keeps the key (JSON-RPC eth_signTransaction), and the key's address. */
    signer: endpointSchema.optional(),
    from: addressSchema.optional(),
    intervalMs: z.int().min(1000).default(60_000),
    /** How many checkpoints' lines are kept. */
    keep: z.int().min(1).max(1_000_000).default(1440),
  })
  .refine(
    ({ key, passphraseFile, signer, from }) =>
      key === undefined
        ? passphraseFile === undefined && signer !== undefined && from !== undefined
        : passphraseFile !== undefined && signer === undefined && from === undefined,
    "who signs is 'key' with 'passphraseFile', or 'signer' with 'from'",
  );

/** What to say at a start to who configured one endpoint only; undefined with several, and where seals prove the block. */
export function singleEndpointNotice(config: LedgerConfig): string | undefined {
  const { url, witnesses = [] } = config;
  if (witnesses.length > 0 || isSealed(config)) return undefined;
  return `the ledger is what ${endpointName(url)} says it is: 'ledger.witnesses' names more endpoints that must agree`;
}

export type LedgerConfig = z.input<typeof ledgerSchema>;
