import type { BundledBaseline } from "../attest/bundle.ts";
import type { BundlePolicy } from "../attest/bundle-policy.ts";
import type { Releases } from "../attest/release-manifest.ts";
import { toHex } from "../core/bytes.ts";
import type { Clock } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import type { BaselineCache } from "../ledger/baseline-cache.ts";
import type { LedgerConfig } from "../ledger/config.ts";
import { readProvenance } from "../ledger/provenance.ts";
import type { VerifierConfig } from "./config.ts";

/** How old the chain's word on where a baseline stands may be: anybody may ask for results, and each answer costs requests. */
const FRESH_MS = 2000;
const TIMEOUT_MS = 2000;

type Place = BundledBaseline["registry"];

/** Approved baselines as bundles carry them. */
export class BundleBaselines {
  readonly #cache: BaselineCache;
  readonly #ledger: LedgerConfig;
  readonly #clock: Clock;
  /** By image and root: a few for each image that ever had a verdict. */
  readonly #places = new Map<string, { readonly place: Promise<Place>; readonly atMs: number }>();

  constructor(cache: BaselineCache, ledger: LedgerConfig, clock: Clock) {
    this.#cache = cache;
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** The baseline of an image; null when none is approved. */
  async of(identity: string): Promise<BundledBaseline | null> {
    const known = await this.#cache.lookUp(identity);
    if (known.status !== "approved") return null;
    const root = toHex(known.baseline.root);
    return { identity, root, lines: [...known.baseline.lines], registry: await this.#placeOf(identity, root) };
  }

  #placeOf(identity: string, root: string): Promise<Place> {
    const key = `${identity} ${root}`;
    const known = this.#places.get(key);
    const nowMs = this.#clock.monotonicMs();
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.place;
    const place = readPlace(this.#ledger, identity, root);
    this.#places.set(key, { place, atMs: nowMs });
    return place;
  }
}

/** Null when the chain does not answer, or has another one by now: the verdict then rests on what it said before. */
async function readPlace(ledger: LedgerConfig, identity: string, root: string): Promise<Place> {
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
