import { z } from "zod";
import { platformPolicySchema } from "../attest/judge-platform.ts";
import { listenerPolicySchema } from "../attest/listener-policy.ts";
import { startPolicySchema } from "../attest/start-policy.ts";
import { addressSchema, isLoopback } from "../attest/verifier-address.ts";
import { checkpointsSchema, ledgerSchema } from "../ledger/config.ts";
import { pcrSchema } from "../log/pcr.ts";

/** In the state folder: what tells commands on the same machine where the verifier is, and its pin. */
export const ADDRESS_FILE = "address";
/** The same for the operator's token. */
export const OPERATOR_TOKEN_FILE = "operator-token";
/** How far a Clique chain was followed: not in the database, since it is believed as a key is. */
export const LEDGER_FOLLOWED_FILE = "ledger-followed";
/** The lines of the last checkpoints, a file each. */
export const CHECKPOINT_FOLDER = "checkpoints";

export const verifierConfigSchema = z.strictObject({
  /** Folder for the database, the TLS key and the operator's token. */
  state: z.string().default("/var/lib/pims/verifier"),
  listen: z
    .strictObject({
      host: z.string().default("127.0.0.1"),
      port: z.int().min(0).max(65535).default(7467),
      /** How hosts reach it, for their join files; pins besides its own may stand behind `#`. */
      url: addressSchema.optional(),
      /** PEM files; without them the verifier makes its own. */
      tls: z.strictObject({ certificate: z.string(), key: z.string() }).optional(),
      /** No TLS, for requests of this machine itself. */
      plain: z.boolean().default(false),
    })
    .refine(({ plain, host }) => !plain || isLoopback(host), "without TLS the verifier listens on loopback only")
    .refine(({ plain, tls }) => !plain || tls === undefined, "'plain' is without 'tls'")
    .refine(({ plain, url }) => plain || url?.startsWith("http:") !== true, "with TLS 'url' begins with https:")
    .prefault({}),
  ledger: ledgerSchema,
  pcr: pcrSchema,
  staleAfterMs: z.int().min(100).default(60_000),
  /** The longest that a host's sweeper may stand still; without it ten of the agent's intervals, at least 30 s. */
  maxPauseMs: z.int().min(100).optional(),
  policy: z
    .strictObject({ starts: startPolicySchema.default([]), listeners: listenerPolicySchema.default([]) })
    .prefault({}),
  enrollment: z
    .strictObject({
      /** Folder with the certificates of TPM makers, PEM or DER; without it no TPM is certified. */
      roots: z.string().optional(),
      /** TPMs that no maker's certificate vouches for are taken, too, and marked. */
      uncertified: z.boolean().default(false),
    })
    .prefault({}),
  /** What is below the agents; absent: it is neither asked for nor judged. */
  platform: platformPolicySchema.optional(),
  /** What is proved, put where not even the verifier can rewrite it; absent: nowhere. */
  checkpoints: checkpointsSchema.optional(),
});
export type VerifierConfig = z.infer<typeof verifierConfigSchema>;
