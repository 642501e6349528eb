import { policyId } from "../attest/bundle-policy.ts";
import { type Ear, earOf } from "../attest/ear.ts";
import { signJwt } from "../attest/jwt.ts";
import type { HostReport } from "../attest/report.ts";
import { toHex } from "../core/bytes.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { computeName } from "../tpm/name.ts";
import { type ApprovedBaseline, registryOf } from "./bundle-proofs.ts";
import type { AcceptedEvidence } from "./evidence-store.ts";
import type { ResultsKey } from "./results-key.ts";
import type { HostRow, Store } from "./store.ts";
import type { Verifier } from "./verifier.ts";

export interface ResultsModules {
  readonly store: Store;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly pcr: number;
  /** What is judged by besides baselines, as `parseBundlePolicy` reads it. */
  readonly policy: string;
  readonly key: ResultsKey;
  /** The approved baseline of an image, with where it stands; null when there is none. */
  bundleBaseline(identity: string): Promise<ApprovedBaseline | null>;
}

/** What a verifier can tell others of a host, all of one moment. */
export interface Results {
  readonly row: HostRow;
  readonly report: HostReport;
  readonly evidence: AcceptedEvidence | null;
  /** Of the images of running containers. */
  readonly baselines: readonly ApprovedBaseline[];
}

/** Evidence may come while baselines are asked for; a chain that is asked often answers at once. */
const MAX_TRIES = 5;

/** Throws `host-unknown`, `results-busy`. */
export async function gatherResults(host: string, modules: ResultsModules): Promise<Results> {
  const { store, verifier } = modules;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const report = await verifier.reportHost(host);
    const evidence = store.evidence.last(host);
    const running = report.containers.filter(({ stoppedAt }) => stoppedAt === null);
    const images = new Set(running.flatMap(({ container: { image } }) => image ?? []));
    const found = await Promise.all([...images].map((image) => modules.bundleBaseline(image)));
    const baselines = found.flatMap((baseline) => baseline ?? []);
    const row = store.host(host);
    // What a verdict rests on must be there, or somebody decided on the baseline meanwhile.
    const whole = running.every(
      ({ status, container }) => status !== "trusted" || baselines.some(({ identity }) => identity === container.image),
    );
    if (whole && row !== null && store.evidence.last(host)?.nonce === evidence?.nonce)
      return { row, report, evidence, baselines };
  }
  throw new PimsError("results-busy", `evidence of ${host} comes faster than its baselines are read`, {
    hint: "try again",
  });
}

/**
 * The verdicts as an EAT Attestation Result (draft-ietf-rats-ear), a JSON Web Token signed by this verifier. `bundle` is the
 * digest of the bundle that it goes into.
 */
export function signEar(results: Results, modules: ResultsModules, bundle: string | null = null): string {
  return signJwt(claimsOf(results, modules, bundle), modules.key.privateKey);
}

function claimsOf(results: Results, { clock, pcr, policy }: ResultsModules, bundle: string | null): Ear {
  const { row, report, evidence, baselines } = results;
  return earOf(report, {
    issuedAtMs: clock.now(),
    policyId: policyId(policy),
    nonce: evidence?.nonce ?? null,
    host: {
      attestationKey: toHex(computeName(row.akPublic)),
      evidence:
        evidence === null
          ? null
          : {
              attest: sha256Hex(Buffer.from(evidence.attest, "base64")),
              acceptedAt: rfc3339(evidence.acceptedAt),
              pcr,
              value: row.proved.value,
              records: row.proved.length,
            },
      bundle,
    },
    baselines: new Map(
      baselines.map(({ identity, root, approval }) => [
        identity,
        { root, registry: approval === null ? null : registryOf(approval) },
      ]),
    ),
  });
}
