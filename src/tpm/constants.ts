// Numbers of the TPM 2.0 Library specification, part 2 (Structures). The heading over each table is the section's name
// there, so that it is found in every revision. Only what PIMS uses.

/** TPM_ST, "Structure Tags". */
export const TPM_ST = {
  /** Answer of a TPM 1.2 to a command it does not understand. */
  RSP_COMMAND: 0x00c4,
  NO_SESSIONS: 0x8001,
  SESSIONS: 0x8002,
  ATTEST_NV: 0x8014,
  ATTEST_CERTIFY: 0x8017,
  ATTEST_QUOTE: 0x8018,
} as const;

/** TPM_GENERATED_VALUE, "TPM_CONSTANTS32": what a TPM puts before everything it made itself and signs. */
export const TPM_GENERATED_VALUE = 0xff544347;

/** TPM_CC, "Command Codes". */
export const TPM_CC = {
  EvictControl: 0x120,
  NV_UndefineSpace: 0x122,
  NV_DefineSpace: 0x12a,
  CreatePrimary: 0x131,
  NV_Increment: 0x134,
  NV_Extend: 0x136,
  NV_Write: 0x137,
  PCR_Reset: 0x13d,
  Startup: 0x144,
  ActivateCredential: 0x147,
  Certify: 0x148,
  PolicyNV: 0x149,
  NV_Read: 0x14e,
  PolicySecret: 0x151,
  Create: 0x153,
  Load: 0x157,
  Quote: 0x158,
  ContextLoad: 0x161,
  ContextSave: 0x162,
  FlushContext: 0x165,
  MakeCredential: 0x168,
  NV_ReadPublic: 0x169,
  PolicyAuthValue: 0x16b,
  PolicyCommandCode: 0x16c,
  PolicyOR: 0x171,
  ReadPublic: 0x173,
  StartAuthSession: 0x176,
  GetCapability: 0x17a,
  GetRandom: 0x17b,
  PCR_Read: 0x17e,
  PolicyPCR: 0x17f,
  PCR_Extend: 0x182,
  NV_Certify: 0x184,
  PolicyGetDigest: 0x189,
  PolicyNvWritten: 0x18f,
} as const;

export type CommandName = keyof typeof TPM_CC;

/** TPM_SU, "Startup Types". */
export const TPM_SU_CLEAR = 0x0000;

/** TPM_RH and TPM_RS, "Permanent Handles". */
export const TPM_RH_OWNER = 0x40000001;
export const TPM_RH_NULL = 0x40000007;
export const TPM_RH_ENDORSEMENT = 0x4000000b;
/** The session of a plain password. */
export const TPM_RS_PW = 0x40000009;

/** TPM_HT, "Handle Types": the first handle of each kind. */
export const FIRST_HANDLE = {
  pcr: 0x00000000,
  nvIndex: 0x01000000,
  loadedSession: 0x02000000,
  savedSession: 0x03000000,
  transient: 0x80000000,
  persistent: 0x81000000,
} as const;

/** TPM_CAP, "Capabilities". */
export const TPM_CAP = { ALGS: 0, HANDLES: 1, COMMANDS: 2, PCRS: 5, TPM_PROPERTIES: 6, ECC_CURVES: 8 } as const;

/** TPM_PT, "Property Tags", the group PT_FIXED. */
export const TPM_PT = {
  FAMILY_INDICATOR: 0x100,
  REVISION: 0x102,
  MANUFACTURER: 0x105,
  VENDOR_STRING_1: 0x106,
  VENDOR_STRING_2: 0x107,
  VENDOR_STRING_3: 0x108,
  VENDOR_STRING_4: 0x109,
  FIRMWARE_VERSION_1: 0x10b,
  FIRMWARE_VERSION_2: 0x10c,
  NV_BUFFER_MAX: 0x12c,
} as const;

/** TPMA_OBJECT, "Object Attributes". */
export const TPMA_OBJECT = {
  fixedTPM: 1 << 1,
  stClear: 1 << 2,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  noDA: 1 << 10,
  encryptedDuplication: 1 << 11,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
  x509sign: 1 << 19,
} as const;

/** TPMA_SESSION, "Session Attributes". "decrypt" is what the TPM does to a command, "encrypt" what it does to a response. */
export const TPMA_SESSION = { continueSession: 0x01, decrypt: 0x20, encrypt: 0x40 } as const;

/** TPMA_NV, "NV Index Attributes", and TPM_NT, the kind of index in bits 4 to 7. */
export const TPMA_NV = {
  ppWrite: 1 << 0,
  ownerWrite: 1 << 1,
  authWrite: 1 << 2,
  policyWrite: 1 << 3,
  typeOrdinary: 0,
  typeCounter: 1 << 4,
  typeBits: 2 << 4,
  typeExtend: 4 << 4,
  policyDelete: 1 << 10,
  writeLocked: 1 << 11,
  writeAll: 1 << 12,
  writeDefine: 1 << 13,
  ppRead: 1 << 16,
  ownerRead: 1 << 17,
  authRead: 1 << 18,
  policyRead: 1 << 19,
  noDA: 1 << 25,
  orderly: 1 << 26,
  clearStClear: 1 << 27,
  readLocked: 1 << 28,
  written: 1 << 29,
  platformCreate: 1 << 30,
} as const;

/** TPM_EO, "EA Arithmetic Operands". */
export const TPM_EO = { EQ: 0x0000, UNSIGNED_GT: 0x0003 } as const;

/** Implementation limits ("Implementation Dependent Values" of the reference code), used to bound what is read. */
export const MAX_PCRS = 32;
export const MAX_BANKS = 16;
export const MAX_DIGEST_BYTES = 64;
/** TPM2B_NAME: algorithm and digest. */
export const MAX_NAME_BYTES = 2 + MAX_DIGEST_BYTES;
/** TPM2B_DATA: sizeof(TPMT_HA). */
export const MAX_DATA_BYTES = 2 + MAX_DIGEST_BYTES;
/** TPML_DIGEST of TPM2_PCR_Read: at most eight a call. */
export const MAX_DIGESTS = 8;
/** TPM2B_AUTH and TPM2B_NONCE: at most a digest. */
export const MAX_AUTH_BYTES = MAX_DIGEST_BYTES;
/** More than any TPMT_PUBLIC, TPMS_CREATION_DATA or TPM2B_PRIVATE has. */
export const MAX_STRUCTURE_BYTES = 1536;
