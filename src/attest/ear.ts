import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { digestSchema, type Reason, reasonSchema } from "../log/finding.ts";
import { describeIssue } from "./api.ts";
import { linkSchema } from "./judge-platform.ts";
import type { ContainerReport, HostReport } from "./report.ts";
import { STATUSES } from "./verdict.ts";

/** An EAT Attestation Result as draft-ietf-rats-ear-04 has it. */
export const EAR_PROFILE = "tag:ietf.org,2026:rats/ear#04";

/** Trustworthiness tiers of draft-ietf-rats-ar4si, from the best to the worst. */
const TIERS = ["affirming", "none", "warning", "contraindicated"] as const;
export type Tier = (typeof TIERS)[number];

const registrySchema = z.object({
  chainId: z.string(),
  contract: z.string(),
  block: z.string(),
  blockHash: z.string(),
  proposal: z.string(),
  approvals: z.int(),
});

/** What this verifier adds of its own, below `ear_verifier_claims`: of a host … */
const hostClaimsSchema = z.object({
  host: z.string(),
  reason: reasonSchema.nullable(),
  /** Name of the attestation key, hexadecimal. */
  attestationKey: z.string(),
  /** Name of the endorsement key that a credential has shown to be in the same TPM; null where the key was taken on trust. */
  endorsementKey: z.string().nullable(),
  /** TCG's names of a TPM whose maker's certificate was checked. */
  tpm: z.object({ manufacturer: z.string(), model: z.string(), version: z.string() }).nullable(),
  evidence: z
    .object({
      /** SHA-256 of the TPMS_ATTEST. */
      attest: digestSchema,
      acceptedAt: z.string(),
      pcr: z.int(),
      value: digestSchema,
      records: z.int(),
    })
    .nullable(),
  links: z.array(linkSchema).nullable(),
  /** The bundle that these results are in (`bundleDigest`); null where they stand alone. */
  bundle: digestSchema.nullable(),
});
export type HostClaims = z.infer<typeof hostClaimsSchema>;

/** … and of a container. */
const containerClaimsSchema = z.object({
  name: z.string(),
  image: z.string().nullable(),
  verdict: z.enum(STATUSES),
  reasons: z.array(reasonSchema),
  baseline: z.object({ root: digestSchema, registry: registrySchema.nullable() }).nullable(),
});
export type ContainerClaims = z.infer<typeof containerClaimsSchema>;

const appraisal = <T extends z.ZodType>(claims: T) =>
  z.object({
    ear_status: z.enum(TIERS),
    ear_trustworthiness_vector: z.record(z.string(), z.int().min(-128).max(127)),
    ear_appraisal_policy_ids: z.array(z.string()).length(1),
    eat_nonce: z.string().optional(),
    ear_verifier_claims: z.object({ pims: claims }),
  });

/** Name of the submodule that is the host; those of containers are `runtime:id`. */
const HOST_SUBMODULE = "host";

const hostAppraisalSchema = appraisal(hostClaimsSchema);
const containerAppraisalSchema = appraisal(containerClaimsSchema);
export type HostAppraisal = z.infer<typeof hostAppraisalSchema>;
export type ContainerAppraisal = z.infer<typeof containerAppraisalSchema>;

const headSchema = z.object({
  eat_profile: z.literal(EAR_PROFILE),
  iat: z.int().min(0),
  ear_status: z.enum(TIERS),
  ear_verifier_id: z.object({ developer: z.string(), build: z.string() }),
});

/** The claims-set as it is signed. */
export type Ear = z.infer<typeof headSchema> & {
  readonly submods: Readonly<Record<string, HostAppraisal | ContainerAppraisal>>;
};

/** The same, read. */
export interface ReadEar {
  readonly status: Tier;
  readonly issuedAtMs: number;
  readonly host: HostAppraisal;
  /** By `runtime:id`. */
  readonly containers: ReadonlyMap<string, ContainerAppraisal>;
}

const submodsSchema = z.object({
  submods: z.object({ [HOST_SUBMODULE]: hostAppraisalSchema }).catchall(containerAppraisalSchema),
});

/** Reads claims whose signature was verified. Throws `results-invalid`. */
export function parseEar(claims: unknown): ReadEar {
  const [head, body] = [headSchema.safeParse(claims), submodsSchema.safeParse(claims)];
  const wrong = head.error ?? body.error;
  if (wrong !== undefined)
    throw new PimsError("results-invalid", `the verifier's results are of another form (${describeIssue(wrong)})`);
  const { [HOST_SUBMODULE]: host, ...containers } = body.data!.submods;
  const { ear_status, iat } = head.data!;
  if (isBetter(ear_status, worst([host, ...Object.values(containers)].map((submod) => submod.ear_status))))
    throw new PimsError("results-invalid", "the verifier's results are better as a whole than in their parts");
  return { status: ear_status, issuedAtMs: iat * 1000, host, containers: new Map(Object.entries(containers)) };
}

export interface EarFacts {
  readonly issuedAtMs: number;
  readonly policyId: string;
  /** Hexadecimal; of the last accepted evidence. */
  readonly nonce: string | null;
  readonly host: Pick<HostClaims, "attestationKey" | "evidence" | "bundle">;
  /** By image. */
  readonly baselines: ReadonlyMap<string, NonNullable<ContainerClaims["baseline"]>>;
}

/** A verifier's verdicts on a host and its running containers as the claims of an EAR. docs/bundle.md has the mapping. */
export function earOf(report: HostReport, facts: EarFacts): Ear {
  const about = {
    ear_appraisal_policy_ids: [facts.policyId],
    ...(facts.nonce === null ? {} : { eat_nonce: Buffer.from(facts.nonce, "hex").toString("base64") }),
  };
  const running = report.containers.filter(({ stoppedAt }) => stoppedAt === null);
  const containers = running.map((one) => {
    const { runtime, id } = one.container;
    const claims = { ear_verifier_claims: { pims: containerClaims(one, facts) } };
    return [`${runtime}:${id}`, { ...ratingOfContainer(one), ...about, ...claims }] as const;
  });
  const host = { ...ratingOfHost(report), ...about, ear_verifier_claims: { pims: hostClaims(report, facts) } };
  return {
    eat_profile: EAR_PROFILE,
    iat: Math.floor(facts.issuedAtMs / 1000),
    ear_status: worst([host, ...containers.map(([, one]) => one)].map(({ ear_status }) => ear_status)),
    ear_verifier_id: { developer: "PIMS", build: `pims ${VERSION}` },
    submods: { [HOST_SUBMODULE]: host, ...Object.fromEntries(containers) },
  };
}

/** Whether the first is more trust than the second. */
export function isBetter(tier: Tier, other: Tier): boolean {
  return TIERS.indexOf(tier) < TIERS.indexOf(other);
}

function worst(tiers: readonly Tier[]): Tier {
  return TIERS[Math.max(...tiers.map((tier) => TIERS.indexOf(tier)))]!;
}

function hostClaims({ host, reason, tpm, links }: HostReport, facts: EarFacts): HostClaims {
  return { host, reason, ...facts.host, endorsementKey: tpm?.ekName ?? null, tpm: tpm?.certified ?? null, links };
}

function containerClaims({ container, status, reasons, findings }: ContainerReport, facts: EarFacts): ContainerClaims {
  const { name, image } = container;
  return {
    ...{ name, image, verdict: status },
    reasons: [...new Set([...findings, ...reasons].map(({ reason }) => reason))],
    baseline: (image === null ? undefined : facts.baselines.get(image)) ?? null,
  };
}

interface Rating {
  ear_status: Tier;
  /** Of AR4SI's categories those that something is said about. */
  ear_trustworthiness_vector: Record<string, number>;
}

export const TIER_OF_VERDICT = {
  trusted: "affirming",
  untrusted: "contraindicated",
  stale: "warning",
  unknown: "none",
  unreachable: "none",
} as const satisfies Record<ContainerReport["status"], Tier>;

/** AR4SI's values, and one of our own for evidence that is too old. */
const CLAIM = { none: 0, unclear: 1, good: 2, booted: 3, tooOld: -33, bad: 96, crypto: 99 } as const;

const OF_CONFIGURATION: readonly Reason[] = ["container-config", "unexpected-listener"];

function ratingOfContainer({ status, reasons, findings }: ContainerReport): Rating {
  const ear_status = TIER_OF_VERDICT[status];
  const rate = (ear_trustworthiness_vector: Record<string, number>): Rating => ({
    ear_status,
    ear_trustworthiness_vector,
  });
  // Of its configuration nothing is claimed: how it was started may not be known.
  if (status === "trusted") return rate({ executables: CLAIM.good });
  if (status === "stale") return rate({ executables: CLAIM.tooOld });
  if (status !== "untrusted")
    return rate({
      executables: reasons.some(({ reason }) => reason === "coverage-incomplete") ? CLAIM.unclear : CLAIM.none,
    });
  const configured = (finding: { reason: Reason }) => OF_CONFIGURATION.includes(finding.reason);
  return rate({
    ...(findings.every(configured) ? {} : { executables: CLAIM.bad }),
    ...(findings.some(configured) ? { configuration: CLAIM.bad } : {}),
  });
}

const OF_IDENTITY: readonly Reason[] = ["host-revoked", "host-cloned", "tpm-changed", "tpm-rolled-back"];
const OF_PLATFORM: readonly Reason[] = ["agent-modified", "runtime-modified", "boot-untrusted"];
const OF_EVIDENCE: readonly Reason[] = [
  "quote-invalid",
  "nonce-mismatch",
  "pcr-mismatch",
  "log-broken",
  "log-rollback",
];

function ratingOfHost({ evidence, reason, tpm, links }: HostReport): Rating {
  const identity = "instance-identity";
  if (evidence === "none") return { ear_status: "none", ear_trustworthiness_vector: { [identity]: CLAIM.none } };
  if (evidence === "stale") return { ear_status: "warning", ear_trustworthiness_vector: { [identity]: CLAIM.tooOld } };
  if (evidence === "good")
    return {
      ear_status: "affirming",
      ear_trustworthiness_vector: {
        [identity]: CLAIM.good,
        ...(tpm?.certified ? { hardware: CLAIM.good } : {}),
        ...(links?.every(({ state }) => state === "proved") ? { executables: CLAIM.booted } : {}),
      },
    };
  const has = (reasons: readonly Reason[]) => reason !== null && reasons.includes(reason);
  const rated = has(OF_IDENTITY) ? CLAIM.bad : has(OF_EVIDENCE) ? CLAIM.crypto : CLAIM.none;
  const vector = has(OF_PLATFORM) ? { [identity]: CLAIM.good, executables: CLAIM.bad } : { [identity]: rated };
  return { ear_status: "contraindicated", ear_trustworthiness_vector: vector };
}
