import { randomBytes } from "node:crypto";
import { type HashName, hashByName, TPM_ALG } from "../algorithms.ts";
import { execute } from "../command.ts";
import { MAX_DIGEST_BYTES, TPM_RH_NULL } from "../constants.ts";
import { kdfa } from "../kdf.ts";
import { shareSecret } from "../secret-sharing.ts";
import type { Session } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

const KINDS = { hmac: 0, policy: 1, trial: 3 } as const;

export interface SessionOptions {
  readonly kind: Session["kind"];
  readonly hash?: HashName;
  /** A loaded decryption key of this TPM, whose public area is known for genuine: only its TPM learns the session's key. */
  readonly salt?: { readonly handle: number; readonly publicArea: Uint8Array };
  /** AES in CFB mode, for parameters; 128 bits unless given. */
  readonly aesBits?: 0 | 128 | 256;
}

/**
 * TPM2_StartAuthSession (part 3). The session stays until a command ends it, it is flushed, or the device is closed. A
 * session that encrypts hides nothing from somebody on the way to the TPM unless it is salted or authorises with a secret.
 */
export async function startSession(tpm: Tpm, options: SessionOptions): Promise<Session> {
  const hash = options.hash ?? "sha256";
  const aesBits = options.aesBits ?? 128;
  const { salt } = options;
  const shared = salt === undefined ? null : shareSecret(salt.publicArea, "SECRET");
  const nonceCaller = new Uint8Array(randomBytes(hashByName(hash).size));
  const parameters = new WireWriter()
    .sized(nonceCaller)
    .sized(shared?.encrypted ?? new Uint8Array(0))
    .u8(KINDS[options.kind]);
  if (aesBits === 0) parameters.u16(TPM_ALG.NULL);
  else parameters.u16(TPM_ALG.AES).u16(aesBits).u16(TPM_ALG.CFB);
  const response = await execute(tpm, {
    name: "StartAuthSession",
    handles: [salt?.handle ?? TPM_RH_NULL, TPM_RH_NULL],
    parameters: parameters.u16(hashByName(hash).id).done(),
    returnsHandle: true,
  });
  const nonceTpm = response.parameters.sized(MAX_DIGEST_BYTES);
  response.parameters.end();
  const bits = hashByName(hash).size * 8;
  const key = shared === null ? new Uint8Array(0) : kdfa(hash, shared.secret, "ATH", [nonceTpm, nonceCaller], bits);
  const { handle } = response;
  return { handle, kind: options.kind, hash, key, aesBits, nonceTpm, policyNeedsAuthValue: false, busy: false };
}
