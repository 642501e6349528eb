import { parseBaseline } from "../baseline/format.ts";
import { bytesEqual, toHex } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { describeError, errorCode } from "../core/errors.ts";
import type { Reason } from "../log/finding.ts";
import type { LogRecord } from "../log/record.ts";
import { type Certificate, parseCertificate } from "../tpm/certificate/certificate.ts";
import { checkEkCertificate } from "../tpm/certificate/ek-certificate.ts";
import { computeName } from "../tpm/name.ts";
import { isRestrictedSigningKey } from "../tpm/public.ts";
import { type Appraisal, appraise, NOTHING_PROVED } from "./appraise.ts";
import type { Bundle, BundledBaseline } from "./bundle.ts";
import type { Check } from "./bundle-check.ts";
import { type BundlePolicy, parseBundlePolicy } from "./bundle-policy.ts";
import { type Anchors, findTrust, type Trust } from "./bundle-trust.ts";
import { checkCheckpoint } from "./check-checkpoint.ts";
import { checkLedger } from "./check-ledger.ts";
import { checkResults } from "./check-results.ts";
import type { Tier } from "./ear.ts";
import { applyRecords, emptyHostState, type HostState } from "./host-state.ts";
import { judgePlatform, type Link } from "./judge-platform.ts";
import { keyOfJwk } from "./jwt.ts";
import { referenceValues } from "./reference-values.ts";
import { Releases } from "./release-manifest.ts";
import { sweeperStanding } from "./sweeper-standing.ts";
import { type BaselineLookup, decide, type HostStanding, noIdentity, type Verdict } from "./verdict.ts";
import { pinOf } from "./verifier-address.ts";

export interface BundleReport {
  readonly verdict: "trusted" | "untrusted" | "unknown";
  readonly host: string;
  readonly checks: readonly Check[];
  readonly trust: readonly Trust[];
  /** What the verifier said, of all together; null where that is not of this bundle. */
  readonly results: { readonly status: Tier; readonly issuedAt: string; readonly key: string } | null;
  readonly links: readonly Link[] | null;
  /** Of the containers that ran; none where the evidence does not hold. */
  readonly containers: readonly Verdict[];
}

/**
 * Appraises once more what is in a bundle, by nothing but the bundle and what the caller knows. Pure. Only shape is an
 * error (`bundle-malformed`); whatever else is wrong is a failed check.
 */
export function verifyBundle(bundle: Bundle, anchors: Anchors): BundleReport {
  const policy = parseBundlePolicy(bundle.policy);
  const checks: Check[] = [];
  const references = checkBaselines(bundle.baselines, checks);
  const ledger = checkLedger(bundle);
  checks.push(...ledger.checks);
  const appraisal = checkEvidence(bundle, policy, checks);
  if (!appraisal?.accepted) {
    const trust = findTrust(bundle, policy, anchors, { ...ledger, checked: null }, null);
    checks.push({ check: "results", outcome: "skipped", text: "not reached" });
    return { verdict: "untrusted", host: bundle.host, checks, trust, results: null, links: null, containers: [] };
  }
  const key = toHex(computeName(bytesOf(bundle.attestationKey)));
  const checkpoint = ledger.checkpoint && checkCheckpoint(bundle, appraisal.proved, appraisal.records, key);
  if (checkpoint !== null) checks.push(checkpoint.check);
  const state = stateOf(appraisal.records, bundle.evidence.from);
  const platform = policy.platform === null ? null : judgeBelow(appraisal, policy.platform);
  const [below] = platform?.reasons ?? [];
  const sweeper = sweeperStanding(state, policy.maxPauseMs ?? undefined);
  const standing: HostStanding =
    sweeper.standing === "good" && below !== undefined ? { standing: "refused", ...below } : sweeper;
  const containers = [...state.containers.values()]
    .filter(({ stoppedAt }) => stoppedAt === null)
    .map((container) => {
      const identity = container.container.image;
      const lookup =
        identity === null ? noIdentity(container.unresolved) : (references.get(identity) ?? noBaseline(identity));
      return decide(state, container, lookup, standing, policy);
    });
  const checked = checkResults(bundle, containers);
  const results = "results" in checked ? checked.results : null;
  const pin = results === null ? "" : pinOf(keyOfJwk(bundle.results.key));
  const problem = "problem" in checked ? checked.problem : null;
  checks.push({
    check: "results",
    outcome: problem === null ? "ok" : "failed",
    text: problem ?? `${results?.status}, signed by ${pin}, of this bundle`,
  });
  const said = anchors.verifiers.includes(pin) ? results : null;
  if (anchors.roots !== null) checks.push(checkEndorsement(bundle, anchors.roots));
  const trust = findTrust(bundle, policy, anchors, { ...ledger, checked: checkpoint }, said);
  const bad =
    checks.some(({ outcome }) => outcome === "failed") ||
    standing.standing === "refused" ||
    results?.status === "contraindicated" ||
    containers.some(({ status }) => status === "untrusted");
  const open =
    trust.some(({ by }) => by === "nobody") ||
    standing.standing !== "good" ||
    results?.status !== "affirming" ||
    containers.some(({ status }) => status !== "trusted");
  const verdict = bad ? "untrusted" : open ? "unknown" : "trusted";
  return {
    ...{ verdict, host: bundle.host, checks, trust },
    results: results && { status: results.status, issuedAt: rfc3339(results.issuedAtMs), key: pin },
    ...{ links: platform?.links ?? null, containers },
  };
}

/**
 * Whether a maker certified the endorsement key, as of when the evidence was accepted: makers' certificates end before their
 * TPMs do. That the attestation key lives beside it is in the verifier's results.
 */
function checkEndorsement({ endorsement, evidence }: Bundle, roots: readonly Certificate[]): Check {
  const check = "endorsement";
  const [own, ...between] = endorsement?.certificates.map(bytesOf) ?? [];
  if (endorsement === null || own === undefined)
    return { check, outcome: "failed", text: "the bundle has no certificate of the TPM's maker" };
  try {
    // A root is what the caller brings, never what the bundle brings.
    const steps = between.map(parseCertificate).filter(({ issuer, subject }) => !bytesEqual(issuer, subject));
    const at = Date.parse(evidence.acceptedAt);
    const { manufacturer, model, version } = checkEkCertificate(
      own,
      bytesOf(endorsement.publicArea),
      [...roots, ...steps],
      at,
    );
    return {
      check,
      outcome: "ok",
      text: `its maker certified the endorsement key: ${manufacturer} ${model} ${version}`,
    };
  } catch (error) {
    if (errorCode(error) !== "ek-untrusted" && errorCode(error) !== "tpm-malformed") throw error;
    return { check, outcome: "failed", text: describeError(error) };
  }
}

/** Records that came with the last evidence tell together how long the sweeper stood still; earlier ones are no news. */
function stateOf(records: readonly LogRecord[], from: number): HostState {
  const state = emptyHostState();
  for (const record of records.slice(0, from)) applyRecords(state, [record]);
  applyRecords(state, records.slice(from));
  return state;
}

function judgeBelow(
  { platform }: Extract<Appraisal, { accepted: true }>,
  policy: NonNullable<BundlePolicy["platform"]>,
) {
  return judgePlatform(platform, { ...policy, releases: [] }, { hasReleases: policy.manifests.length > 0 });
}

function checkBaselines(baselines: readonly BundledBaseline[], checks: Check[]): Map<string, BaselineLookup> {
  const references = new Map<string, BaselineLookup>();
  for (const { identity, root, lines } of baselines) {
    const check = `baseline ${identity.slice(7, 19)}`;
    const fail = (text: string) => checks.push({ check, outcome: "failed", text });
    if (references.has(identity)) {
      fail("the bundle has two baselines of one image");
      continue;
    }
    // Set also when it is no baseline: the image then has none, and the check has failed.
    references.set(identity, noBaseline(identity));
    try {
      const baseline = parseBaseline(lines);
      if (toHex(baseline.root) !== root) fail(`its lines lead to the root ${toHex(baseline.root)}, not ${root}`);
      else if (baseline.header.identity !== identity) fail(`it is of ${baseline.header.identity}`);
      else {
        references.set(identity, { found: true, reference: referenceValues(baseline) });
        checks.push({ check, outcome: "ok", text: `${lines.length} lines lead to the root ${root}` });
      }
    } catch (error) {
      if (errorCode(error) !== "baseline-malformed") throw error;
      fail(describeError(error));
    }
  }
  return references;
}

function noBaseline(identity: string): BaselineLookup {
  return { found: false, reason: "no-baseline", text: `the bundle has no approved baseline for the image ${identity}` };
}

/** Which of the checks a refusal belongs to; those after it were not reached. */
const STEPS = ["quote", "log", "sweep"] as const;
const STEP_OF: Partial<Record<Reason, (typeof STEPS)[number]>> = {
  "quote-invalid": "quote",
  "nonce-mismatch": "quote",
  "coverage-stale": "sweep",
};

function checkEvidence(bundle: Bundle, policy: BundlePolicy, checks: Check[]): Appraisal | null {
  const { evidence, log } = bundle;
  const akPublic = bytesOf(bundle.attestationKey);
  if (!isRestrictedSigningKey(akPublic)) {
    const text = "the attestation key is not a restricted signing key that is fixed to its TPM";
    checks.push({ check: "quote", outcome: "failed", text });
    return null;
  }
  if ((evidence.platform === null) !== (policy.platform === null)) {
    const text = "the policy and the quote differ on whether what is below the agent is proved";
    checks.push({ check: "quote", outcome: "failed", text });
    return null;
  }
  const { nonce, attest, signature, platform } = evidence;
  const given = platform === null ? {} : { platform: { ...platform, ima: imaOf(platform.ima) } };
  const appraisal = appraise(
    { nonce, from: 0, records: log.records, attest, signature, ...given },
    {
      akPublic,
      nonce,
      pcr: evidence.pcr,
      ...(policy.platform === null
        ? {}
        : { platform: { before: null, releases: new Releases(policy.platform.manifests) } }),
    },
    NOTHING_PROVED,
  );
  if (!appraisal.accepted) {
    refuse(STEP_OF[appraisal.reason] ?? "log", `${appraisal.reason}: ${appraisal.text}`, checks);
    return appraisal;
  }
  const { length, value, tpm } = appraisal.proved;
  if (length !== log.records.length) {
    refuse("log", `log-broken: ${log.records.length - length} records stand after the quoted one`, checks);
    return null;
  }
  const key = toHex(computeName(akPublic));
  checks.push(
    {
      check: "quote",
      outcome: "ok",
      text: `signed by ${key} over the nonce; reset ${tpm?.resetCount}, restart ${tpm?.restartCount}, clock ${tpm?.clock} ms`,
    },
    { check: "log", outcome: "ok", text: `${length} records from number 0 lead to the quoted value ${value}` },
    { check: "sweep", outcome: "ok", text: "the last record is of a sweep that answers the nonce" },
  );
  return appraisal;
}

function imaOf(entries: string | null) {
  return entries === null ? null : { from: 0, entries };
}

function refuse(step: (typeof STEPS)[number], text: string, checks: Check[]): void {
  const at = STEPS.indexOf(step);
  for (const [index, check] of STEPS.entries())
    if (index === at) checks.push({ check, outcome: "failed", text });
    else if (index > at) checks.push({ check, outcome: "skipped", text: "not reached" });
    else checks.push({ check, outcome: "ok", text: "" });
}

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));
