import { z } from "zod";

const base64 = (bytes: number) => z.base64().max(Math.ceil(bytes / 3) * 4);

/** What a host shows to be enrolled. Nothing of it is proved before the credential is opened. */
export const enrollRequestSchema = z.strictObject({
  host: z.string().max(63),
  /** TPMT_PUBLIC of the attestation key, and of the endorsement key. */
  akPublic: base64(1536),
  ekPublic: base64(1536),
  /** DER, as the TPM holds it; null when it holds none. */
  ekCertificate: base64(16 * 1024).nullable(),
});
export type EnrollRequest = z.infer<typeof enrollRequestSchema>;

/** A credential that only a TPM with both keys opens (TPM 2.0 Library part 1, "Credential Protection"). */
export const challengeSchema = z.object({
  challenge: z.string().regex(/^[0-9a-f]{32}$/),
  /** TPMS_ID_OBJECT and the content of TPM2B_ENCRYPTED_SECRET. */
  idObject: base64(256),
  encryptedSecret: base64(1024),
});
export type Challenge = z.infer<typeof challengeSchema>;

/** The host's answer: what was in the credential. */
export const activateRequestSchema = z.strictObject({
  challenge: z.string().max(64),
  secret: z.string().max(128),
});

export const enrollAnswerSchema = z.object({ token: z.string().regex(/^[0-9a-f]{64}$/) });

/** What an operator decides before a host is enrolled. */
export const inviteRequestSchema = z.strictObject({
  /** A TPM without a certificate that its maker's root vouches for will do. */
  uncertified: z.boolean(),
  /** The host begins anew, perhaps with another TPM; what was proved of it is forgotten. */
  anew: z.boolean(),
});
export const inviteAnswerSchema = enrollAnswerSchema.extend({ expiresAt: z.string() });

export const revokeRequestSchema = z.strictObject({ text: z.string().min(1).max(500) });
export const revokeAnswerSchema = z.object({ revoked: z.string() });

/** TCG's names of a TPM, from a certificate whose path was checked. */
const tpmNamesSchema = z.object({ manufacturer: z.string(), model: z.string(), version: z.string() });

/** Whose TPM vouches for a host. */
export const tpmIdentitySchema = z.object({
  /** Name of the endorsement key, hexadecimal: one TPM, one name. */
  ekName: z.string().regex(/^[0-9a-f]+$/),
  /** Null when no certificate vouches for the TPM: it may be a program. */
  certified: tpmNamesSchema.nullable(),
});
export type TpmIdentity = z.infer<typeof tpmIdentitySchema>;

/** Something about a host's TPM that an operator has to know of. */
export const tpmNoticeSchema = z.object({
  reason: z.enum(["tpm-changed", "host-cloned", "host-revoked"]),
  text: z.string(),
  at: z.string(),
});
export type TpmNotice = z.infer<typeof tpmNoticeSchema>;
