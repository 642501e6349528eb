import { errorCode } from "../core/errors.ts";
import { type HashName, hashById, TPM_ALG, TPM_ECC } from "./algorithms.ts";
import { MAX_DIGEST_BYTES, TPMA_OBJECT } from "./constants.ts";
import { WireReader } from "./wire.ts";

export interface SigningScheme {
  readonly algorithm: "ecdsa" | "rsassa";
  readonly hash: HashName;
}

/** TPM_ALG_IDs of a block cipher and its mode. */
export interface SymmetricAlgorithm {
  readonly algorithm: number;
  readonly bits: number;
  readonly mode: number;
}

export type PublicKeyNumbers =
  | { readonly type: "ecc"; readonly curve: "P-256" | "P-384"; readonly x: Uint8Array; readonly y: Uint8Array }
  | { readonly type: "rsa"; readonly modulus: Uint8Array; readonly exponent: number };

/** TPMT_PUBLIC of an asymmetric key (TPM 2.0 Library part 2, "TPMT_PUBLIC"). */
export interface PublicArea {
  readonly nameAlg: HashName;
  /** TPMA_OBJECT. */
  readonly attributes: number;
  readonly authPolicy: Uint8Array;
  /** What a storage key encrypts its children with; null for any other key. */
  readonly symmetric: SymmetricAlgorithm | null;
  /** Null when the key has none or one that PIMS does not verify. */
  readonly scheme: SigningScheme | null;
  readonly key: PublicKeyNumbers;
}

const CURVES = new Map<number, { curve: "P-256" | "P-384"; size: number }>([
  [TPM_ECC.P256, { curve: "P-256", size: 32 }],
  [TPM_ECC.P384, { curve: "P-384", size: 48 }],
]);

const RSA_BITS = new Set([2048, 3072, 4096]);
/** What TPM 2.0 means by an exponent of zero (part 2, "TPMS_RSA_PARMS"). */
const DEFAULT_EXPONENT = 65537;

/** Reads a whole TPMT_PUBLIC: ECC P-256 or P-384, or RSA of 2048 bits or more. PimsError `tpm-malformed` for any other. */
export function parsePublic(publicArea: Uint8Array): PublicArea {
  const reader = new WireReader(publicArea, "public area");
  const type = reader.u16();
  if (type !== TPM_ALG.ECC && type !== TPM_ALG.RSA) reader.fail(`key type 0x${type.toString(16)}`);
  const nameAlg = hashById(reader.u16())?.name ?? reader.fail("the algorithm of its name is not supported");
  const attributes = reader.u32();
  const authPolicy = reader.sized(MAX_DIGEST_BYTES);
  const symmetric = readSymmetric(reader);
  const scheme = readScheme(reader);
  const key = type === TPM_ALG.ECC ? readEcc(reader) : readRsa(reader);
  reader.end();
  return { nameAlg, attributes, authPolicy, symmetric, scheme, key };
}

/** The TPMT_PUBLIC inside a TPM2B_PUBLIC, as files of tpm2-tools hold it. */
export function unwrapPublic(sizedPublic: Uint8Array): Uint8Array {
  const reader = new WireReader(sizedPublic, "TPM2B_PUBLIC");
  const publicArea = reader.sized(0xffff);
  reader.end();
  return publicArea;
}

/** TPMT_SYM_DEF_OBJECT+: nothing follows TPM_ALG_NULL. */
function readSymmetric(reader: WireReader): SymmetricAlgorithm | null {
  const algorithm = reader.u16();
  return algorithm === TPM_ALG.NULL ? null : { algorithm, bits: reader.u16(), mode: reader.u16() };
}

/** TPMT_ECC_SCHEME+ or TPMT_RSA_SCHEME+: the union's size depends on the scheme. */
function readScheme(reader: WireReader): SigningScheme | null {
  const algorithm = reader.u16();
  if (algorithm === TPM_ALG.NULL || algorithm === TPM_ALG.RSAES) return null;
  const hash = hashById(reader.u16())?.name;
  switch (algorithm) {
    case TPM_ALG.ECDSA:
      return hash === undefined ? null : { algorithm: "ecdsa", hash };
    case TPM_ALG.RSASSA:
      return hash === undefined ? null : { algorithm: "rsassa", hash };
    case TPM_ALG.ECDAA:
      reader.u16(); // count
      return null;
    case TPM_ALG.RSAPSS:
    case TPM_ALG.OAEP:
    case TPM_ALG.ECDH:
    case TPM_ALG.SM2:
    case TPM_ALG.ECSCHNORR:
      return null;
    default:
      return reader.fail(`scheme 0x${algorithm.toString(16)}`);
  }
}

/** The rest of TPMS_ECC_PARMS, then TPMS_ECC_POINT. */
function readEcc(reader: WireReader): PublicKeyNumbers {
  const curveId = reader.u16();
  const { curve, size } = CURVES.get(curveId) ?? reader.fail(`curve 0x${curveId.toString(16)}`);
  const kdf = reader.u16();
  if (kdf !== TPM_ALG.NULL) reader.u16(); // its hash
  // A TPM may leave out leading zeros.
  const coordinate = (): Uint8Array => {
    const bytes = reader.sized(size);
    const padded = new Uint8Array(size);
    padded.set(bytes, size - bytes.length);
    return padded;
  };
  return { type: "ecc", curve, x: coordinate(), y: coordinate() };
}

/** The rest of TPMS_RSA_PARMS, then TPM2B_PUBLIC_KEY_RSA. */
function readRsa(reader: WireReader): PublicKeyNumbers {
  const bits = reader.u16();
  if (!RSA_BITS.has(bits)) reader.fail(`an RSA key of ${bits} bits`);
  const exponent = reader.u32() || DEFAULT_EXPONENT;
  if (exponent !== DEFAULT_EXPONENT) reader.fail(`the RSA exponent ${exponent}`);
  const modulus = reader.sized(bits / 8);
  if (modulus.length !== bits / 8 || (modulus[0]! & 0x80) === 0) reader.fail(`its modulus has not ${bits} bits`);
  return { type: "rsa", modulus, exponent };
}

const REQUIRED =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.restricted |
  TPMA_OBJECT.sign;
const FORBIDDEN = TPMA_OBJECT.decrypt | TPMA_OBJECT.encryptedDuplication | TPMA_OBJECT.x509sign;

/**
 * True for a TPMT_PUBLIC whose private half was made by a TPM, cannot leave it, and signs only what that TPM itself made
 * or hashed after looking that it does not pretend to be (part 1, "Restricted signing"): only such a key's quote
 * means anything. Also demands a scheme that PIMS verifies, with a hash that still holds. False for malformed bytes.
 *
 * That the key is in a *genuine* TPM it does not say: any program can write these bytes.
 */
export function isRestrictedSigningKey(publicArea: Uint8Array): boolean {
  try {
    const { attributes, symmetric, scheme, nameAlg, key } = parsePublic(publicArea);
    if ((attributes & REQUIRED) !== REQUIRED || (attributes & FORBIDDEN) !== 0) return false;
    if (symmetric !== null || scheme === null || scheme.hash === "sha1" || nameAlg === "sha1") return false;
    return (key.type === "ecc") === (scheme.algorithm === "ecdsa");
  } catch (error) {
    if (errorCode(error) === "tpm-malformed") return false;
    throw error;
  }
}
