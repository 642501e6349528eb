import { toHex } from "../core/bytes.ts";
import type { CredentialBlob } from "../tpm/credential.ts";
import { challengeSchema, type EnrollRequest, enrollAnswerSchema } from "./enrollment.ts";
import { requestJson } from "./http.ts";

const TIMEOUT_MS = 30_000;

/** A host's TPM as it is enrolled. */
export interface Enrollable {
  /** TPMT_PUBLIC of the attestation key. */
  readonly akPublic: Uint8Array;
  /** The endorsement key, with its certificate (DER) where the TPM holds one. */
  showEk(): Promise<{ readonly publicArea: Uint8Array; readonly certificate: Uint8Array | null }>;
  openCredential(blob: CredentialBlob): Promise<Uint8Array>;
}

/**
 * The host's side of being enrolled: shows the TPM's keys under a join token, opens the credential that
 * the verifier made for them, and gets the host's own token. Throws `verifier-unreachable`, or what the verifier or the TPM
 * refused with.
 */
export async function enrollHost(address: string, host: string, tpm: Enrollable, token: string): Promise<string> {
  const ek = await tpm.showEk();
  const ekCertificate = ek.certificate === null ? null : toBase64(ek.certificate);
  const [akPublic, ekPublic] = [toBase64(tpm.akPublic), toBase64(ek.publicArea)];
  const shown: EnrollRequest = { host, akPublic, ekPublic, ekCertificate };
  const request = { method: "POST", token, timeoutMs: TIMEOUT_MS } as const;
  const { challenge, ...blob } = await requestJson(address, "/v1/hosts", challengeSchema, { ...request, body: shown });
  const secret = await tpm.openCredential({
    idObject: fromBase64(blob.idObject),
    encryptedSecret: fromBase64(blob.encryptedSecret),
  });
  const body = { challenge, secret: toHex(secret) };
  return (await requestJson(address, `/v1/hosts/${host}/activate`, enrollAnswerSchema, { ...request, body })).token;
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
