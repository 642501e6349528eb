// Bundles whose maker has a chain's proofs, and signs whatever he likes.
import { generateKeyPairSync } from "node:crypto";
import type { Address } from "viem";
import { type Bundle, bundleDigest } from "../src/attest/bundle.ts";
import type { Ear } from "../src/attest/ear.ts";
import { jwkOf, keyOfJwk, signJwt, verifyJwt } from "../src/attest/jwt.ts";
import { systemClock } from "../src/core/clock.ts";
import { BaselineCache } from "../src/ledger/baseline-cache.ts";
import { checkpointRoot, proveLine, sendCheckpoint } from "../src/ledger/checkpoints.ts";
import { rootSlot } from "../src/ledger/contract/checkpoints-storage.ts";
import { deployContract } from "../src/ledger/deploy.ts";
import { heightsInMemory } from "../src/ledger/header/ledger-height.ts";
import { createKey } from "../src/ledger/keys/keys.ts";
import { ProvedLedger } from "../src/ledger/proved-ledger.ts";
import { type TestLedger, testIdentity } from "../src/ledger/testing.ts";
import type { ApprovedBaseline, ProvedCheckpoint } from "../src/verifier/bundle-proofs.ts";
import { bundleBaseline } from "../src/verifier/bundle-sources.ts";

const strange = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** The bundle, with the claims of its results signed by nobody for what it is now. */
export function forgedBundle(bundle: Bundle): Bundle {
  const claims = structuredClone(verifyJwt(bundle.results.ear, keyOfJwk(bundle.results.key))) as Ear;
  const { pims } = claims.submods.host!.ear_verifier_claims;
  (pims as { bundle: string }).bundle = bundleDigest(bundle);
  return { ...bundle, results: { key: jwkOf(strange.publicKey), ear: signJwt(claims, strange.privateKey) } };
}

export const openLedger = (place: TestLedger["place"]): ProvedLedger =>
  new ProvedLedger(place, {
    ...{ clock: systemClock, heights: heightsInMemory(), timeoutMs: 10_000, report: () => {} },
  });

/** As a verifier would have it now. */
export async function approvedIn(place: TestLedger["place"], name: string): Promise<ApprovedBaseline> {
  return (await bundleBaseline(new BaselineCache(place), testIdentity(name)))!;
}

/** Somebody's first checkpoint, of these lines, and what proves that one has their root; shown as that of `number`. */
export async function saidCheckpoint(
  { chain, deployer, place }: TestLedger,
  lines: readonly string[],
  number = 0n,
): Promise<ProvedCheckpoint> {
  const { address } = await deployContract("Checkpoints", { url: chain.url, deployerKey: deployer });
  const [contract, key] = [address.toLowerCase() as Address, createKey()];
  const ledger = openLedger(place);
  const checkpoints = await ledger.contract("Checkpoints", contract);
  await sendCheckpoint(checkpoints, { key, number: 0n, root: checkpointRoot(lines) });
  const reporter = key.address.toLowerCase() as Address;
  const where = { name: "Checkpoints", address: contract } as const;
  const { proved } = await openLedger(place).wordsOf(where, [rootSlot(reporter, number)]);
  const { nodes, ...inclusion } = proveLine(lines, 1);
  return { checkpoint: { contract, reporter, number: `${number}`, ...inclusion, path: [...nodes] }, proved };
}
