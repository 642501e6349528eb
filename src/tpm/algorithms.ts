// TPM_ALG_ID and TPM_ECC_CURVE (TCG Algorithm Registry, "TPM_ALG_ID" and "TPM_ECC_CURVE").

export const TPM_ALG = {
  RSA: 0x0001,
  SHA1: 0x0004,
  AES: 0x0006,
  SHA256: 0x000b,
  SHA384: 0x000c,
  SHA512: 0x000d,
  NULL: 0x0010,
  RSASSA: 0x0014,
  RSAES: 0x0015,
  RSAPSS: 0x0016,
  OAEP: 0x0017,
  ECDSA: 0x0018,
  ECDH: 0x0019,
  ECDAA: 0x001a,
  SM2: 0x001b,
  ECSCHNORR: 0x001c,
  ECC: 0x0023,
  CFB: 0x0043,
} as const;

/** TPM_ECC_NIST_P256 and TPM_ECC_NIST_P384. */
export const TPM_ECC = { P256: 0x0003, P384: 0x0004 } as const;

/** A bank of PCRs, or the hash of a name or signature. The names are those of OpenSSL, too. */
export type HashName = "sha1" | "sha256" | "sha384" | "sha512";

interface HashAlgorithm {
  readonly name: HashName;
  readonly id: number;
  /** Length of a digest in bytes. */
  readonly size: number;
}

const HASHES: readonly HashAlgorithm[] = [
  { name: "sha1", id: TPM_ALG.SHA1, size: 20 },
  { name: "sha256", id: TPM_ALG.SHA256, size: 32 },
  { name: "sha384", id: TPM_ALG.SHA384, size: 48 },
  { name: "sha512", id: TPM_ALG.SHA512, size: 64 },
];

/** Undefined for an algorithm that PIMS does not compute. */
export function hashById(id: number): HashAlgorithm | undefined {
  return HASHES.find((hash) => hash.id === id);
}

export function hashByName(name: HashName): HashAlgorithm {
  return HASHES.find((hash) => hash.name === name)!;
}
