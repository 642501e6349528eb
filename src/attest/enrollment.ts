import { z } from "zod";
import { tokenSchema } from "./token.ts";
import { addressSchema } from "./verifier-address.ts";

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

export const enrollAnswerSchema = z.object({ token: tokenSchema });

const MAX_JOIN_USES = 10_000;
const MAX_JOIN_HOURS = 24 * 30;

/** What an operator decides before a host is enrolled, or several. */
export const inviteRequestSchema = z
  .strictObject({
    /** Null for any host that is not known yet, or comes with the TPM and key that it is known by. */
    host: z.string().max(63).nullable(),
    /** A TPM without a certificate that its maker's root vouches for will do. */
    uncertified: z.boolean(),
    /** The host begins anew, perhaps with another TPM; what was proved of it is forgotten. */
    anew: z.boolean(),
    /** So many enrollments, within so many hours. */
    uses: z.int().min(1).max(MAX_JOIN_USES),
    hours: z.number().gt(0).max(MAX_JOIN_HOURS),
  })
  .refine(({ host, anew }) => host !== null || !anew, "only a host that is named can begin anew")
  .refine(({ host, uses }) => host === null || uses === 1, "a host that is named comes once");
export type InviteRequest = z.infer<typeof inviteRequestSchema>;
export const inviteAnswerSchema = enrollAnswerSchema.extend({
  expiresAt: z.string(),
  /** How hosts reach the verifier, where it is configured. */
  verifier: addressSchema.nullable(),
});

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
