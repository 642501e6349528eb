import { z } from "zod";
import { actionSchema, gateEventSchema } from "../log/event.ts";
import { containerSchema, findingSchema, reasonSchema, textSchema } from "../log/finding.ts";
import { tpmIdentitySchema, tpmNoticeSchema } from "./enrollment.ts";
import { linkSchema, platformVerdictSchema } from "./judge-platform.ts";
import { platformStateSchema } from "./platform-state.ts";
import { STATUSES } from "./verdict.ts";

/** What a verifier reports, as it travels (schema `pims.status/v1`). */
export const containerReportSchema = z.object({
  container: containerSchema,
  imageName: z.string().nullable(),
  status: z.enum(STATUSES),
  reasons: z.array(z.object({ reason: reasonSchema, text: textSchema })),
  findings: z.array(findingSchema),
  startedAt: z.string(),
  stoppedAt: z.string().nullable(),
  actions: z.array(actionSchema),
  /** The gate before exec; null where there is none. */
  gate: gateEventSchema.nullable(),
});
export type ContainerReport = z.infer<typeof containerReportSchema>;

/** The boots of a host that the verifier knows of. */
const bootsSchema = z.object({
  known: z.int(),
  /** Records that were sent after the next boot: no quote of their own boot shows them. */
  told: z.int(),
  /** Resets of the TPM that no log tells of. */
  unloggedResets: z.int(),
  /** Times that the TPM was suspended and kept its registers. */
  resumes: z.int(),
  /** The last ones in their order. `since`: when the verifier first took evidence of it. */
  last: z.array(
    z.object({
      bootId: z.string().nullable(),
      since: z.string(),
      records: z.int(),
      proved: z.int(),
      unloggedResets: z.int(),
      resumes: z.int(),
    }),
  ),
});

export const hostReportSchema = z.object({
  host: z.string(),
  evidence: z.enum(["good", "refused", "stale", "none"]),
  reason: reasonSchema.nullable(),
  text: z.string(),
  acceptedAt: z.string().nullable(),
  /** Whose TPM vouches for it; null for a host whose attestation key was taken on trust. */
  tpm: tpmIdentitySchema.nullable(),
  /** What was noticed about its TPM and not decided since. */
  notice: tpmNoticeSchema.nullable(),
  /** Proved of this boot. */
  records: z.int(),
  /** The longest that a violation of this host waited between its log and this verifier; null where none has. Milliseconds. */
  longestUnprovedMs: z.number().nullable(),
  boots: bootsSchema,
  /** What the last attested sweep covered; null before there was one. */
  lastSweep: z
    .object({
      time: z.string(),
      processes: z.int(),
      mappings: z.int(),
      longestPauseMs: z.number(),
      unreadable: z.int(),
      /** How long it takes to read all code in memory again, in milliseconds; null before it was done once. */
      scrubCycleMs: z.int().nullable(),
    })
    .nullable(),
  /** The chain below the agent; null where the verifier does not ask for it. */
  links: z.array(linkSchema).nullable(),
  containers: z.array(containerReportSchema),
});
export type HostReport = z.infer<typeof hostReportSchema>;

/** What is below one host's agent. */
export const hostPlatformSchema = z.object({
  schema: z.literal("pims.host-platform/v1"),
  host: z.string(),
  tpm: tpmIdentitySchema.nullable(),
  notice: tpmNoticeSchema.nullable(),
  boots: bootsSchema,
  platform: z.object({ state: platformStateSchema.nullable(), verdict: platformVerdictSchema }).nullable(),
});
export type HostPlatform = z.infer<typeof hostPlatformSchema>;

/** What a verifier knows of the ledger that keeps its baselines. Its endpoints are called without what may be a secret in their addresses. */
export const ledgerReportSchema = z.object({
  registry: z.string(),
  /** Null before the first block. */
  chainId: z.string().nullable(),
  /** The last block that was believed. `ageMs`: since its own time. */
  block: z
    .object({ number: z.string(), hash: z.string(), time: z.string(), ageMs: z.number(), readAt: z.string() })
    .nullable(),
  /** How a block is believed, in words. */
  belief: textSchema,
  /** Why none is believed now; null while one is. */
  problem: z.object({ code: z.string(), text: textSchema }).nullable(),
  /** How long an approval that was read holds meanwhile. */
  holdMs: z.int(),
  endpoints: z.array(
    z.object({
      endpoint: z.string(),
      /** What it says it is. */
      client: z.string().nullable(),
      /** What it is left out for, and since when it has done nothing right. */
      fault: z.object({ text: textSchema, since: z.string() }).nullable(),
    }),
  ),
  /** What the ledger does not protect against, a sentence each. */
  warnings: z.array(textSchema),
});
export type LedgerReport = z.infer<typeof ledgerReportSchema>;

export const statusSchema = z.object({
  schema: z.literal("pims.status/v1"),
  hosts: z.array(hostReportSchema),
  /** Null where the verifier has none. */
  ledger: ledgerReportSchema.nullable(),
});

export const attestSchema = z.object({
  schema: z.literal("pims.attest/v1"),
  outcome: z
    .discriminatedUnion("accepted", [
      z.object({ accepted: z.literal(true), records: z.int() }),
      z.object({ accepted: z.literal(false), reason: reasonSchema, text: z.string() }),
    ])
    .nullable(),
  host: hostReportSchema,
});

export const earAnswerSchema = z.object({
  schema: z.literal("pims.ear/v1"),
  /** JSON Web Token. */
  ear: z.string().regex(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/),
});
