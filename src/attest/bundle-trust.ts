import { toHex } from "../core/bytes.ts";
import type { Certificate } from "../tpm/certificate/certificate.ts";
import { computeName } from "../tpm/name.ts";
import { isRestrictedSigningKey } from "../tpm/public.ts";
import type { Bundle } from "./bundle.ts";
import { type BundlePolicy, isStrictest } from "./bundle-policy.ts";
import type { ReadEar } from "./ear.ts";

/** What whoever checks a bundle knows from elsewhere. Without it the bundle proves only that it fits together. */
export interface Anchors {
  /** Names of attestation keys, hexadecimal. */
  readonly keys: readonly string[];
  /** Merkle roots of baselines, hexadecimal. */
  readonly baselines: readonly string[];
  /** Pins of the keys with which verifiers sign results. */
  readonly verifiers: readonly string[];
  /** Certificates of TPM makers; null where it does not matter who made the TPM. */
  readonly roots: readonly Certificate[] | null;
  /** It is enough that the host was so once, whenever that was. */
  readonly undated: boolean;
}

/** On whose word something rests that the bundle cannot prove by itself. */
export interface Trust {
  readonly trust: "key" | "baselines" | "policy" | "time";
  readonly by: "you" | "verifier" | "nobody";
  readonly text: string;
}

/**
 * What rests on whose word. `said` are the results of a verifier that the caller knows: its word stands for what the caller
 * does not name at all, but not against what the caller names.
 */
export function findTrust(bundle: Bundle, policy: BundlePolicy, anchors: Anchors, said: ReadEar | null): Trust[] {
  const rests = (trust: Trust["trust"], own: string | null, theirs: string | null, missing: string): Trust => {
    if (own !== null) return { trust, by: "you", text: own };
    if (said !== null && theirs !== null) return { trust, by: "verifier", text: theirs };
    return { trust, by: "nobody", text: missing };
  };
  const endorsed = said?.host.ear_verifier_claims.pims.endorsementKey;
  const publicArea = bytesOf(bundle.attestationKey);
  const name = isRestrictedSigningKey(publicArea) ? toHex(computeName(publicArea)) : "";
  const strange = bundle.baselines.filter(({ root }) => !anchors.baselines.includes(root)).map(({ root }) => root);
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
    rests(
      "baselines",
      strange.length === 0 ? "you know the roots of all baselines" : null,
      anchors.baselines.length > 0 ? null : `the verifier says that ${strange.join(", ")} was approved`,
      anchors.baselines.length > 0
        ? `you do not name ${strange.join(", ")}`
        : `nobody whom you know has approved ${strange.join(", ")} (--baseline, --verifier-key)`,
    ),
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
  ];
}

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));
