import type { Baseline } from "../baseline/format.ts";
import { mapsItselfAgain } from "../baseline/jit.ts";
import { indexBaseline, pathKey } from "../baseline/lookup.ts";
import { sha256Hex } from "../core/digest.ts";
import type { BaselineCache } from "../ledger/baseline-cache.ts";
import { PRELOAD_FILE, type PreloadWay } from "../process/preload.ts";
import type { ReferenceValues } from "./judge.ts";
import type { BaselineLookup } from "./verdict.ts";

const prepared = new WeakMap<Baseline, ReferenceValues>();

/** A baseline, ready for judging. Prepared once for each. */
export function referenceValues(baseline: Baseline): ReferenceValues {
  const known = prepared.get(baseline);
  if (known !== undefined) return known;
  const { byDigest, byPath } = indexBaseline(baseline);
  // By digest: what stands at a compiler's path must also be the image's compiler.
  const compilers = new Set(baseline.header.jit.map((path) => byPath.get(pathKey(path))?.sha256));
  const preloads = new Map<PreloadWay, string>(
    Object.entries(baseline.header.loader ?? {}).map(([by, value]) => [by as PreloadWay, sha256Hex(value)]),
  );
  const preloadFile = byPath.get(pathKey(PRELOAD_FILE));
  if (preloadFile !== undefined) preloads.set(PRELOAD_FILE, preloadFile.sha256);
  const allowed = new Set(baseline.header.allowed);
  const ports = new Set(baseline.header.ports);
  const reference: ReferenceValues = {
    exposes: (port) => ports.has(port),
    hasDigest: (sha256) => byDigest.has(sha256) || allowed.has(sha256),
    hasPath: (path) => byPath.has(pathKey(path)),
    mayCompile: (mapped) => mapped.some((sha256) => compilers.has(sha256)),
    mayBeDisplaced: (sha256) =>
      compilers.has(sha256) || (byDigest.get(sha256) ?? []).some(({ path }) => mapsItselfAgain(path)),
    entrypoint: baseline.header.entrypoint,
    mayPreload: (by, said) => preloads.get(by) === said,
  };
  prepared.set(baseline, reference);
  return reference;
}

/** Asks the ledger's cache for the baseline of an image and says in the words of a verdict why there is none. */
export async function lookUpBaseline(cache: BaselineCache, identity: string): Promise<BaselineLookup> {
  const result = await cache.lookUp(identity);
  switch (result.status) {
    case "approved":
      return { found: true, reference: referenceValues(result.baseline) };
    case "none":
      return { found: false, reason: "no-baseline", text: `the ledger has no baseline for the image ${identity}` };
    case "proposed":
      return {
        found: false,
        reason: "baseline-unapproved",
        text: `the baseline for the image ${identity} is proposed, but not approved by enough publishers`,
      };
    case "revoked":
      return { found: false, reason: "baseline-revoked", text: result.text };
    case "altered":
      return { found: false, reason: "baseline-altered", text: result.text };
    case "unverified":
      return { found: false, reason: "ledger-unverified", text: result.text };
  }
}
