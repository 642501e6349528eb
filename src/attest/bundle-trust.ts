import { toHex } from "../core/bytes.ts";
import type { Header } from "../ledger/header/block-header.ts";
import type { Certificate } from "../tpm/certificate/certificate.ts";
import { computeName } from "../tpm/name.ts";
import { isRestrictedSigningKey } from "../tpm/public.ts";
import { describeBlock } from "./block-text.ts";
import type { Bundle, BundledBaseline } from "./bundle.ts";
import type { BundledRegistry } from "./bundle-ledger.ts";
import { type BundlePolicy, isStrictest } from "./bundle-policy.ts";
import type { CheckedCheckpoint } from "./check-checkpoint.ts";
import type { ProvedByLedger } from "./check-ledger.ts";
import type { ReadEar } from "./ear.ts";

/** What whoever checks a bundle knows from elsewhere. Without it the bundle proves only that it fits together. */
export interface Anchors {
  /** Names of attestation keys, hexadecimal. */
  readonly keys: readonly string[];
  /** Merkle roots of baselines, hexadecimal. */
  readonly baselines: readonly string[];
  /** Hashes of blocks of the ledger's chain, hexadecimal with 0x, and the addresses of registries on it. */
  readonly blocks: readonly string[];
  readonly registries: readonly string[];
  /** Blocks that are known by their seals; null where no validators are named. */
  readonly sealed: {
    readonly hashes: readonly string[];
    /** Number of the validators' chain, decimal. They may keep others, with a registry of the same address. */
    readonly chainId: string;
    /** Seconds that a block with an approval may be older than the evidence; null: any age. */
    readonly maxAgeSeconds: number | null;
  } | null;
  /** Where the verifier puts its checkpoints; null where it does not matter whether it has. */
  readonly checkpoints: { readonly contract: string; readonly reporter: string } | null;
  /** Pins of the keys with which verifiers sign results. */
  readonly verifiers: readonly string[];
  /** Certificates of TPM makers; null where it does not matter who made the TPM. */
  readonly roots: readonly Certificate[] | null;
  /** It is enough that the host was so once, whenever that was. */
  readonly undated: boolean;
}

/** Blocks that are named where there could be a thousand. */
const MOST_SHOWN = 4;

/** On whose word something rests that the bundle cannot prove by itself. */
export interface Trust {
  readonly trust: "key" | "baselines" | "policy" | "time" | "checkpoint";
  readonly by: "you" | "verifier" | "nobody";
  readonly text: string;
}

/** What a bundle proves of a chain's state, and what its checkpoint says of the log; null where that is not known. */
type Ledger = ProvedByLedger & { readonly checked: CheckedCheckpoint | null };

/**
 * What rests on whose word. `said` are the results of a verifier that the caller knows: its word stands for what the caller
 * does not name at all, but not against what the caller names.
 */
export function findTrust(
  bundle: Bundle,
  policy: BundlePolicy,
  anchors: Anchors,
  ledger: Ledger,
  said: ReadEar | null,
): Trust[] {
  const rests = (trust: Trust["trust"], own: string | null, theirs: string | null, missing: string): Trust => {
    if (own !== null) return { trust, by: "you", text: own };
    if (said !== null && theirs !== null) return { trust, by: "verifier", text: theirs };
    return { trust, by: "nobody", text: missing };
  };
  const endorsed = said?.host.ear_verifier_claims.pims.endorsementKey;
  const publicArea = bytesOf(bundle.attestationKey);
  const name = isRestrictedSigningKey(publicArea) ? toHex(computeName(publicArea)) : "";
  const { acceptedAt } = bundle.evidence;
  return [
    rests(
      "key",
      anchors.keys.includes(name) ? "you know the attestation key" : null,
      anchors.keys.length > 0
        ? null
        : endorsed
          ? `the verifier saw that the attestation key is in the TPM with the endorsement key ${endorsed}`
          : "the verifier took the attestation key on trust",
      anchors.keys.length > 0
        ? `the attestation key is ${name}, and that is none that you name`
        : `nobody whom you know says that the attestation key ${name || "in it"} is in a TPM (--ak, --verifier-key)`,
    ),
    { trust: "baselines", ...approvedBy(bundle, anchors, ledger, said !== null) },
    rests(
      "policy",
      isStrictest(policy) ? "it allows nothing that the images do not promise" : null,
      "the verifier stands for the exceptions that it makes",
      "it makes exceptions, and nobody whom you know stands for them (--verifier-key)",
    ),
    rests(
      "time",
      anchors.undated ? "you do not ask when it was" : null,
      `the verifier says that the nonce was new, and answered at ${acceptedAt}`,
      "nobody whom you know says when the nonce was given out (--verifier-key; --undated: do not ask)",
    ),
    ...(anchors.checkpoints === null ? [] : [checkpointOf(anchors, anchors.checkpoints, ledger)]),
  ];
}

/** Who knows that the baselines were approved. What the bundle shows of it is worth what the block's hash is. */
function approvedBy(
  { baselines, evidence }: Bundle,
  anchors: Anchors,
  { approvals }: ProvedByLedger,
  isSaid: boolean,
): Omit<Trust, "trust"> {
  const unnamed = baselines.filter(({ root }) => !anchors.baselines.includes(root));
  const isShown = ({ identity }: BundledBaseline) => {
    const shown = approvals.get(identity);
    if (shown === undefined || !anchors.registries.includes(shown.registry.contract)) return false;
    return isKnown(shown.header, anchors) && doubtOf(shown, anchors, evidence.acceptedAt) === null;
  };
  const strange = unnamed.filter((baseline) => !isShown(baseline));
  const where = new Map(
    (strange.length > 0 ? strange : unnamed).flatMap(({ identity }) => {
      const shown = approvals.get(identity);
      if (shown === undefined) return [];
      const { chainId, contract } = shown.registry;
      const block = describeBlock(shown.header, evidence.acceptedAt);
      const doubt = doubtOf(shown, anchors, evidence.acceptedAt);
      return [[block, `registry ${contract} on chain ${chainId}, ${block}${doubt === null ? "" : `, ${doubt}`}`]];
    }),
  );
  const at = [...where.values()].slice(0, MOST_SHOWN).join("; ");
  if (unnamed.length === 0) return { by: "you", text: "you know the roots of all baselines" };
  if (strange.length === 0) return { by: "you", text: `you know where the ledger approves them: ${at}` };
  const roots = strange.map(({ root }) => root).join(", ");
  const lookUp = at === "" ? "" : `; shown for ${at}`;
  if (anchors.baselines.length + anchors.registries.length > 0)
    return { by: "nobody", text: `you do not name ${roots}${lookUp}` };
  if (isSaid) return { by: "verifier", text: `the verifier says that ${roots} was approved${lookUp}` };
  const ways = "--baseline, --block or --validator with --registry, --verifier-key";
  return { by: "nobody", text: `nobody whom you know has approved ${roots}${lookUp} (${ways})` };
}

const isKnown = ({ hash }: Header, { blocks, sealed }: Anchors): boolean =>
  blocks.includes(hash) || sealed?.hashes.includes(hash) === true;

/** Why a block that only seals make known is not enough for an approval; null when it is, and for every other block. */
function doubtOf(
  { registry, header }: { readonly registry: BundledRegistry; readonly header: Header },
  { blocks, sealed }: Anchors,
  acceptedAt: string,
): string | null {
  if (sealed === null || blocks.includes(header.hash) || !sealed.hashes.includes(header.hash)) return null;
  const { chainId, maxAgeSeconds } = sealed;
  if (registry.chainId !== chainId) return `which is not of the chain ${chainId} that you name`;
  // Of a block after the evidence an age is no matter: what was revoked before stays so.
  const oldest = BigInt(Date.parse(acceptedAt)) - BigInt(maxAgeSeconds ?? 0) * 1000n;
  if (maxAgeSeconds === null || header.timestamp * 1000n >= oldest) return null;
  return `which is more than the ${maxAgeSeconds} seconds that you allow (--max-block-age)`;
}

function checkpointOf(
  anchors: Anchors,
  { contract, reporter }: NonNullable<Anchors["checkpoints"]>,
  { checkpoint: shown, checked }: Ledger,
): Trust {
  const nobody = (text: string): Trust => ({ trust: "checkpoint", by: "nobody", text });
  if (shown === null) return nobody("the bundle shows no checkpoint");
  const { checkpoint, header } = shown;
  if (checkpoint.reporter !== reporter || checkpoint.contract !== contract)
    return nobody(`it is of ${checkpoint.reporter} at ${checkpoint.contract}, which you do not name`);
  const block = `block ${header.number} ${header.hash}`;
  // At any age: nobody can take a checkpoint back.
  if (!isKnown(header, anchors)) return nobody(`it is shown for ${block}, which you do not name`);
  // One of another boot, or of what came later, is a true one too, and would be so for any log.
  if (checked === null) return nobody("the log that it is to fix does not hold");
  if (checked.fixes === null) return nobody(checked.check.text);
  const chain = anchors.blocks.includes(header.hash)
    ? ""
    : "; nothing in it says which of these validators' chains it is on";
  const text = `you know ${block}, in which checkpoint ${checkpoint.number} fixes ${checked.fixes}${chain}`;
  return { trust: "checkpoint", by: "you", text };
}

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));
