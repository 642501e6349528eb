import type { BundledBaseline } from "../attest/bundle.ts";
import type { BundlePolicy } from "../attest/bundle-policy.ts";
import type { Releases } from "../attest/release-manifest.ts";
import { toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import type { BaselineCache } from "../ledger/baseline-cache.ts";
import type { LedgerConfig } from "../ledger/config.ts";
import { readProvenance } from "../ledger/provenance.ts";
import type { VerifierConfig } from "./config.ts";

const TIMEOUT_MS = 2000;

/** The approved baseline of an image as bundles carry it; null when there is none. */
export async function bundleBaseline(
  cache: BaselineCache,
  ledger: LedgerConfig,
  identity: string,
): Promise<BundledBaseline | null> {
  const known = await cache.lookUp(identity);
  if (known.status !== "approved") return null;
  const root = toHex(known.baseline.root);
  return { identity, root, lines: [...known.baseline.lines], registry: await placeOf(ledger, identity, root) };
}

/** Null when the chain does not answer, or has another one by now: the verdict then rests on what it said before. */
async function placeOf(ledger: LedgerConfig, identity: string, root: string): Promise<BundledBaseline["registry"]> {
  try {
    const place = await readProvenance({ ...ledger, timeoutMs: TIMEOUT_MS }, identity);
    if (place?.root !== `0x${root}`) return null;
    const { chainId, contract, block, proposal, approvals } = place;
    return {
      ...{ chainId: `${chainId}`, contract: contract.toLowerCase(), block: `${block}`, proposal, approvals },
      proof: null,
    };
  } catch (error) {
    if (error instanceof PimsError) return null;
    throw error;
  }
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
