import { parseBaseline } from "../baseline/format.ts";
import { toHex } from "../core/bytes.ts";
import { describeError, errorCode } from "../core/errors.ts";
import type { Reason } from "../log/finding.ts";
import type { LogRecord } from "../log/record.ts";
import { parseAttest } from "../tpm/attest.ts";
import { computeName } from "../tpm/name.ts";
import { isRestrictedSigningKey } from "../tpm/public.ts";
import { type Appraisal, appraise, NOTHING_PROVED } from "./appraise.ts";
import type { Bundle, BundledBaseline } from "./bundle.ts";
import { type BundlePolicy, isStrictest, parseBundlePolicy } from "./bundle-policy.ts";
import { applyRecords, emptyHostState, type HostState } from "./host-state.ts";
import { judgePlatform, type Link } from "./judge-platform.ts";
import { referenceValues } from "./reference-values.ts";
import { Releases } from "./release-manifest.ts";
import { sweeperStanding } from "./sweeper-standing.ts";
import { type BaselineLookup, decide, type HostStanding, NO_IDENTITY, type Verdict } from "./verdict.ts";

/** What whoever checks a bundle knows from elsewhere. Without it the bundle proves only that it fits together. */
export interface Anchors {
  /** Names of attestation keys, hexadecimal. */
  readonly keys: readonly string[];
  /** Merkle roots of baselines, hexadecimal. */
  readonly baselines: readonly string[];
  /** It is enough that the host was so once, whenever that was. */
  readonly undated: boolean;
}

export interface Check {
  readonly check: string;
  readonly outcome: "ok" | "failed" | "skipped";
  readonly text: string;
}

/** On whose word something rests that the bundle cannot prove by itself. */
export interface Trust {
  readonly trust: "key" | "baselines" | "policy" | "time";
  readonly by: "you" | "nobody";
  readonly text: string;
}

export interface BundleReport {
  readonly verdict: "trusted" | "untrusted" | "unknown";
  readonly host: string;
  readonly checks: readonly Check[];
  readonly trust: readonly Trust[];
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
  const appraisal = checkEvidence(bundle, policy, checks);
  const trust = findTrust(bundle, policy, anchors);
  if (!appraisal?.accepted) return reportOf(bundle, checks, trust, null, []);
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
      const lookup = identity === null ? NO_IDENTITY : (references.get(identity) ?? noBaseline(identity));
      return decide(state, container, lookup, standing, policy);
    });
  return reportOf(bundle, checks, trust, platform?.links ?? null, containers, standing);
}

function reportOf(
  { host }: Bundle,
  checks: readonly Check[],
  trust: readonly Trust[],
  links: readonly Link[] | null,
  containers: readonly Verdict[],
  standing: HostStanding = { standing: "good" },
): BundleReport {
  const bad =
    checks.some(({ outcome }) => outcome === "failed") ||
    standing.standing === "refused" ||
    containers.some(({ status }) => status === "untrusted");
  const open =
    trust.some(({ by }) => by === "nobody") ||
    standing.standing !== "good" ||
    containers.some(({ status }) => status !== "trusted");
  return { verdict: bad ? "untrusted" : open ? "unknown" : "trusted", host, checks, trust, links, containers };
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
  const firmware = parseAttest(bytesOf(attest)).firmwareVersion.toString(16);
  checks.push(
    {
      check: "quote",
      outcome: "ok",
      text: `signed by ${key} over the nonce; reset ${tpm?.resetCount}, restart ${tpm?.restartCount}, clock ${tpm?.clock} ms, firmware 0x${firmware}`,
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

function findTrust(bundle: Bundle, policy: BundlePolicy, anchors: Anchors): Trust[] {
  const own = (trust: Trust["trust"], text: string): Trust => ({ trust, by: "you", text });
  const missing = (trust: Trust["trust"], text: string): Trust => ({ trust, by: "nobody", text });
  const publicArea = bytesOf(bundle.attestationKey);
  const name = isRestrictedSigningKey(publicArea) ? toHex(computeName(publicArea)) : "";
  const strange = bundle.baselines.filter(({ root }) => !anchors.baselines.includes(root));
  return [
    anchors.keys.includes(name)
      ? own("key", "you know the attestation key")
      : missing("key", `nobody whom you know says that the attestation key ${name || "in it"} is in a TPM (--ak)`),
    strange.length === 0
      ? own("baselines", "you know the roots of all baselines")
      : missing(
          "baselines",
          `nobody whom you know has approved ${strange.map(({ root }) => root).join(", ")} (--baseline)`,
        ),
    isStrictest(policy)
      ? own("policy", "it allows nothing that the images do not promise")
      : missing("policy", "it makes exceptions, and nobody whom you know stands for them"),
    anchors.undated
      ? own("time", "you do not ask when it was")
      : missing("time", "nobody whom you know says when the nonce was given out (--undated: do not ask)"),
  ];
}

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));
