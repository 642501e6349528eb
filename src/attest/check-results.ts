import { toHex } from "../core/bytes.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { computeName } from "../tpm/name.ts";
import { type Bundle, bundleDigest } from "./bundle.ts";
import { isBetter, parseEar, type ReadEar, TIER_OF_VERDICT } from "./ear.ts";
import { keyOf } from "./host-state.ts";
import { keyOfJwk, verifyJwt } from "./jwt.ts";
import type { Verdict } from "./verdict.ts";

/**
 * The verifier's results in a bundle, if the key beside them has signed them, and they are of this very bundle and no better
 * than what is found in it; else why not. Whose key it is, is another question.
 */
export function checkResults(bundle: Bundle, found: readonly Verdict[]): { results: ReadEar } | { problem: string } {
  try {
    const results = parseEar(verifyJwt(bundle.results.ear, keyOfJwk(bundle.results.key)));
    const problem = problemOf(bundle, found, results);
    return problem === undefined ? { results } : { problem: `the verifier's results are ${problem}` };
  } catch (error) {
    if (errorCode(error) !== "results-invalid") throw error;
    return { problem: describeError(error) };
  }
}

function problemOf(bundle: Bundle, found: readonly Verdict[], { host, containers }: ReadEar): string | undefined {
  const claims = host.ear_verifier_claims.pims;
  if (claims.bundle !== bundleDigest(bundle)) return "not of this bundle";
  const key = toHex(computeName(new Uint8Array(Buffer.from(bundle.attestationKey, "base64"))));
  if (claims.attestationKey !== key) return "of another attestation key";
  if (containers.size !== found.length) return "of other containers";
  for (const { container, status } of found) {
    const theirs = containers.get(keyOf(container));
    if (theirs === undefined) return "of other containers";
    if (isBetter(theirs.ear_status, TIER_OF_VERDICT[status]))
      return `better for ${container.name} than what is found: ${theirs.ear_status}, not ${status}`;
  }
  return undefined;
}
