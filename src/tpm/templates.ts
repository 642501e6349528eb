import { fromHex } from "../core/bytes.ts";
import { TPM_ALG, TPM_ECC } from "./algorithms.ts";
import { TPMA_OBJECT } from "./constants.ts";
import { WireWriter } from "./wire.ts";

export type KeyKind = "ecc-p256" | "ecc-p384" | "rsa-2048";

const BOUND = TPMA_OBJECT.fixedTPM | TPMA_OBJECT.fixedParent | TPMA_OBJECT.sensitiveDataOrigin;

/** The policy of an endorsement key: PolicySecret(TPM_RH_ENDORSEMENT), by SHA-256 (TCG EK Credential Profile, B.6.2). */
const EK_POLICY = fromHex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa");

/** Storage keys encrypt their children with AES of 128 bits. */
const aes128Cfb = (template: WireWriter): WireWriter => template.u16(TPM_ALG.AES).u16(128).u16(TPM_ALG.CFB);

/**
 * Template of the endorsement key, in the low range (TCG EK Credential Profile 2.x, B.3.3 template L-1: RSA 2048, and B.3.4
 * template L-2: ECC P-256): the same key each time, the one that the TPM's maker certified.
 */
export function ekTemplate(kind: "ecc-p256" | "rsa-2048"): Uint8Array {
  const attributes = BOUND | TPMA_OBJECT.adminWithPolicy | TPMA_OBJECT.restricted | TPMA_OBJECT.decrypt;
  const template = aes128Cfb(begin(kind, attributes, EK_POLICY)).u16(TPM_ALG.NULL);
  // The profile wants "unique" filled with zeros: without them it would be another key.
  return kind === "rsa-2048"
    ? template.u16(2048).u32(0).sized(new Uint8Array(256)).done()
    : template.u16(TPM_ECC.P256).u16(TPM_ALG.NULL).sized(new Uint8Array(32)).sized(new Uint8Array(32)).done();
}

/** A storage key as parent of others, with an authorisation value. */
export function storageTemplate(kind: KeyKind): Uint8Array {
  const attributes = BOUND | TPMA_OBJECT.userWithAuth | TPMA_OBJECT.noDA | TPMA_OBJECT.restricted | TPMA_OBJECT.decrypt;
  return end(kind, aes128Cfb(begin(kind, attributes)).u16(TPM_ALG.NULL));
}

/** A restricted signing key: one that quotes and certifies. It takes ECDSA, or RSASSA. */
export function attestationTemplate(kind: KeyKind, policy?: Uint8Array): Uint8Array {
  const user = policy === undefined ? TPMA_OBJECT.userWithAuth : 0;
  const attributes = BOUND | user | TPMA_OBJECT.noDA | TPMA_OBJECT.restricted | TPMA_OBJECT.sign;
  const template = begin(kind, attributes, policy).u16(TPM_ALG.NULL);
  template.u16(kind === "rsa-2048" ? TPM_ALG.RSASSA : TPM_ALG.ECDSA);
  return end(kind, template.u16(kind === "ecc-p384" ? TPM_ALG.SHA384 : TPM_ALG.SHA256));
}

/** type, nameAlg, objectAttributes, authPolicy. */
function begin(kind: KeyKind, attributes: number, policy: Uint8Array = new Uint8Array(0)): WireWriter {
  return new WireWriter()
    .u16(kind === "rsa-2048" ? TPM_ALG.RSA : TPM_ALG.ECC)
    .u16(TPM_ALG.SHA256)
    .u32(attributes)
    .sized(policy);
}

/** What follows the scheme, with an empty "unique". */
function end(kind: KeyKind, template: WireWriter): Uint8Array {
  if (kind === "rsa-2048") return template.u16(2048).u32(0).u16(0).done();
  const curve = kind === "ecc-p256" ? TPM_ECC.P256 : TPM_ECC.P384;
  return template.u16(curve).u16(TPM_ALG.NULL).u16(0).u16(0).done();
}
