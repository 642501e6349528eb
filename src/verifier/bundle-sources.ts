import type { BundlePolicy } from "../attest/bundle-policy.ts";
import type { Releases } from "../attest/release-manifest.ts";
import { toHex } from "../core/bytes.ts";
import type { BaselineCache } from "../ledger/baseline-cache.ts";
import type { ApprovedBaseline } from "./bundle-proofs.ts";
import type { VerifierConfig } from "./config.ts";

/** The approved baseline of an image as bundles carry it; null when none is approved. */
export async function bundleBaseline(cache: BaselineCache, identity: string): Promise<ApprovedBaseline | null> {
  const known = await cache.lookUp(identity);
  if (known.status !== "approved") return null;
  const { baseline, approval } = known;
  return { identity, root: toHex(baseline.root), lines: baseline.lines, approval };
}

/** What this verifier judges by besides baselines, as text: one policy is one text. */
export function bundlePolicy({ policy, maxPauseMs, platform }: VerifierConfig, releases: Releases | null): string {
  const { starts, listeners } = policy;
  const below =
    platform === undefined
      ? null
      : { boot: platform.boot, require: platform.require, manifests: [...(releases?.manifests ?? [])] };
  return JSON.stringify({ starts, listeners, maxPauseMs: maxPauseMs ?? null, platform: below } satisfies BundlePolicy);
}
