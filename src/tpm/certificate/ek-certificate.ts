import { bytesEqual } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";
import { type PublicArea, parsePublic } from "../public.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { DerReader, TAG } from "./der.ts";
import { basicConstraints, extendedKeyUsages, KEY_USAGE, mayBeUsedFor, type TpmNames, tpmNames } from "./extensions.ts";
import { checkPath } from "./path.ts";

/** tcg-kp-EKCertificate (TCG EK Credential Profile, 3.2.16). */
const EK_PURPOSE = "2.23.133.8.1";
/** rsaEncryption, and id-RSAES-OAEP, under which some makers put the same key. */
const RSA_ALGORITHMS = new Set(["1.2.840.113549.1.1.1", "1.2.840.113549.1.1.7"]);
const EC_ALGORITHM = "1.2.840.10045.2.1";

/**
 * Checks that a maker whose root is known certified this endorsement key (TCG EK Credential Profile, 3.2): that it is the
 * certificate's key, may be used as one, belongs to a TPM that is named, and that the path holds (`checkPath`). PimsError
 * `ek-untrusted`, or `tpm-malformed` for what is no certificate.
 */
export function checkEkCertificate(
  der: Uint8Array,
  ekPublic: Uint8Array,
  roots: readonly Certificate[],
  nowMs: number,
): TpmNames {
  const certificate = parseCertificate(der);
  const { key } = parsePublic(ekPublic);
  if (!isKeyOf(certificate, key)) throw untrusted("it is of another key");
  if (basicConstraints(certificate).ca) throw untrusted("it is a certification authority's");
  const use = key.type === "rsa" ? KEY_USAGE.keyEncipherment : KEY_USAGE.keyAgreement;
  if (!mayBeUsedFor(certificate, use)) throw untrusted("its key may not be used for encryption (key usage)");
  if (extendedKeyUsages(certificate)?.includes(EK_PURPOSE) === false)
    throw untrusted("it is not for an endorsement key (extended key usage)");
  const names = tpmNames(certificate);
  if (names === undefined) throw untrusted("it does not name a TPM's maker, model and version (alternative name)");
  checkPath(certificate, roots, nowMs);
  return names;
}

/** The key's numbers are compared, since OpenSSL does not take an RSA key under the algorithm of OAEP. */
function isKeyOf({ keyAlgorithm, keyBits }: Certificate, key: PublicArea["key"]): boolean {
  if (key.type === "rsa") {
    if (!RSA_ALGORITHMS.has(keyAlgorithm)) return false;
    const numbers = new DerReader(keyBits).inside(TAG.sequence);
    const modulus = numbers.element(TAG.integer).content;
    const exponent = numbers.element(TAG.integer).content;
    return bytesEqual(modulus, new Uint8Array([0, ...key.modulus])) && bytesEqual(exponent, new Uint8Array([1, 0, 1]));
  }
  // An uncompressed point; its length tells the curves apart.
  return keyAlgorithm === EC_ALGORITHM && bytesEqual(keyBits, new Uint8Array([4, ...key.x, ...key.y]));
}

function untrusted(problem: string): PimsError {
  return new PimsError("ek-untrusted", `the TPM's certificate does not vouch for its endorsement key: ${problem}`);
}
