// Numbers of the TPM 2.0 Library specification, part 2 (Structures). The heading over each table is the section's name
// there, so that it is found in every revision. Only what PIMS uses.

/** TPM_ST, "Structure Tags". */
export const TPM_ST = {
  /** Answer of a TPM 1.2 to a command it does not understand. */
  RSP_COMMAND: 0x00c4,
  NO_SESSIONS: 0x8001,
  SESSIONS: 0x8002,
  ATTEST_QUOTE: 0x8018,
} as const;

/** TPM_GENERATED_VALUE, "TPM_CONSTANTS32": what a TPM puts before everything it made itself and signs. */
export const TPM_GENERATED_VALUE = 0xff544347;

/** TPM_CC, "Command Codes". */
export const TPM_CC = {
  CreatePrimary: 0x131,
  PCR_Reset: 0x13d,
  Startup: 0x144,
  Quote: 0x158,
  FlushContext: 0x165,
  ReadPublic: 0x173,
  GetCapability: 0x17a,
  GetRandom: 0x17b,
  PCR_Read: 0x17e,
  PCR_Extend: 0x182,
} as const;

export type CommandName = keyof typeof TPM_CC;

/** TPM_SU, "Startup Types". */
export const TPM_SU_CLEAR = 0x0000;

/** TPM_RH and TPM_RS, "Permanent Handles". */
export const TPM_RH_OWNER = 0x40000001;
export const TPM_RH_ENDORSEMENT = 0x4000000b;
/** The session of a plain password; all our authorisation values are empty. */
export const TPM_RS_PW = 0x40000009;

/** TPM_HT, "Handle Types": the first handle of each kind. */
export const FIRST_HANDLE = { pcr: 0x00000000, transient: 0x80000000, persistent: 0x81000000 } as const;

/** TPM_CAP, "Capabilities". */
export const TPM_CAP = { ALGS: 0, HANDLES: 1, PCRS: 5, TPM_PROPERTIES: 6 } as const;

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

/** TPMA_SESSION, "Session Attributes": the only one that the answer to a password may carry. */
export const TPMA_SESSION_CONTINUE = 0x01;

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
