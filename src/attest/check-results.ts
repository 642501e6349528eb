import { toHex } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import { computeName } from "../tpm/name.ts";
import type { Bundle, BundledBaseline } from "./bundle.ts";
import { policyId } from "./bundle-policy.ts";
import {
  type ContainerAppraisal,
  type HostAppraisal,
  isBetter,
  parseEar,
  type ReadEar,
  TIER_OF_VERDICT,
} from "./ear.ts";
import { keyOf } from "./host-state.ts";
import { keyOfJwk, verifyJwt } from "./jwt.ts";
import type { Verdict } from "./verdict.ts";

/** What the bundle shows by itself. */
export interface Shown {
  /** Value of the register, and number of records that lead to it. */
  readonly value: string;
  readonly records: number;
  /** Of the containers that ran. */
  readonly containers: readonly Verdict[];
}

/**
 * The verifier's results in a bundle, if the key beside them has signed them and they are of just what the bundle shows, and
 * no better; else why not. Whose key it is, is another question.
 */
export function checkResults(bundle: Bundle, shown: Shown): { results: ReadEar } | { problem: string } {
  try {
    const results = parseEar(verifyJwt(bundle.results.ear, keyOfJwk(bundle.results.key)));
    const problem = [...differences(bundle, shown, results)][0];
    return problem === undefined ? { results } : { problem: `the verifier's results are ${problem}` };
  } catch (error) {
    if (errorCode(error) !== "results-invalid") throw error;
    return { problem: describeError(error) };
  }
}

function* differences(bundle: Bundle, shown: Shown, { host, containers }: ReadEar): Generator<string> {
  const { evidence, baselines, endorsement } = bundle;
  const claims = host.ear_verifier_claims.pims;
  if (claims.host !== bundle.host) yield "of another host";
  if (claims.attestationKey !== nameOf(bundle.attestationKey)) yield "of another attestation key";
  if (endorsement !== null && claims.endorsementKey !== nameOf(endorsement.publicArea))
    yield "of another endorsement key";
  const attest = sha256Hex(Buffer.from(evidence.attest, "base64"));
  const { acceptedAt, pcr } = evidence;
  const expected = { attest, acceptedAt, pcr, value: shown.value, records: shown.records };
  if (JSON.stringify(claims.evidence) !== JSON.stringify(expected)) yield "of other evidence";
  const nonce = Buffer.from(evidence.nonce, "hex").toString("base64");
  const isOfBundle = ({ ear_appraisal_policy_ids: [id], eat_nonce }: HostAppraisal | ContainerAppraisal): boolean =>
    id === policyId(bundle.policy) && eat_nonce === nonce;
  if (!isOfBundle(host)) yield "of another policy or nonce";
  if (containers.size !== shown.containers.length) yield "of other containers";
  for (const { container, status } of shown.containers) {
    const theirs = containers.get(keyOf(container));
    if (theirs === undefined || !isOfBundle(theirs)) {
      yield "of other containers, another policy or nonce";
      continue;
    }
    const { name, image, baseline } = theirs.ear_verifier_claims.pims;
    if (name !== container.name || image !== container.image) yield `of another container than ${container.name}`;
    const ours = baselines.find(({ identity }) => identity === image);
    if (JSON.stringify(baseline) !== JSON.stringify(ours === undefined ? null : placeOf(ours)))
      yield `of another baseline for ${container.name}`;
    if (isBetter(theirs.ear_status, TIER_OF_VERDICT[status]))
      yield `better for ${container.name} than what the bundle shows: ${theirs.ear_status}, not ${status}`;
  }
  const used = new Set(shown.containers.map(({ container: { image } }) => image));
  if (baselines.some(({ identity }) => !used.has(identity))) yield "silent on a baseline in the bundle";
}

/** As the results have it. */
export function placeOf({ root, registry }: BundledBaseline) {
  if (registry === null) return { root, registry };
  const { chainId, contract, block, proposal, approvals } = registry;
  return { root, registry: { chainId, contract, block, proposal, approvals } };
}

function nameOf(publicArea: string): string {
  try {
    return toHex(computeName(new Uint8Array(Buffer.from(publicArea, "base64"))));
  } catch (error) {
    if (error instanceof PimsError) return "";
    throw error;
  }
}
