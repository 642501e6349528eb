import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { concatBytes } from "../core/bytes.ts";
import { hashByName } from "./algorithms.ts";
import { MAX_DIGEST_BYTES, TPM_RS_PW, TPMA_SESSION } from "./constants.ts";
import { type Handle, nameOf } from "./handle.ts";
import { type Authorization, cipherParameter, type Session, sessionHmac } from "./session.ts";
import { type WireReader, WireWriter } from "./wire.ts";

/** A session's part in a command that has been written. */
interface Turn {
  readonly authorization: Authorization;
  readonly session: Session | null;
  readonly nonceCaller: Uint8Array;
  readonly attributes: number;
  /** authValue of the handle; empty where the session belongs to none. */
  readonly authValue: Uint8Array;
}

/** What checking the response takes. */
export interface PendingAuthorizations {
  readonly commandCode: number;
  readonly turns: readonly Turn[];
}

/**
 * The authorisation area of a command, and its parameters, the first one encrypted if a session does that (TPM 2.0 Library
 * part 1, "Session-Based Authorizations" and "Session-based encryption").
 */
export function writeAuthorizations(
  commandCode: number,
  handles: readonly Handle[],
  authorizations: readonly Authorization[],
  plainParameters: Uint8Array,
): { area: Uint8Array; parameters: Uint8Array; pending: PendingAuthorizations } {
  const turns = authorizations.map((authorization): Turn => {
    const { session, authValue } = authorization;
    const nonceCaller = session === null ? new Uint8Array(0) : randomBytes(hashByName(session.hash).size);
    return {
      authorization,
      session,
      nonceCaller: new Uint8Array(nonceCaller),
      attributes: attributesOf(authorization),
      authValue,
    };
  });
  const parameters = encryptFirst(turns, plainParameters);
  const names = turns.some(({ session }) => session !== null) ? handles.map(nameOf) : [];
  const code = new WireWriter().u32(commandCode).done();
  const area = new WireWriter();
  for (const [index, { session, nonceCaller, attributes, authValue }] of turns.entries()) {
    if (session === null) {
      area.u32(TPM_RS_PW).u16(0).u8(0).sized(authValue);
      continue;
    }
    const cpHash = digest(session, code, ...names, parameters);
    const nonces = [nonceCaller, session.nonceTpm, ...(index === 0 ? noncesOfCiphers(turns) : [])];
    const hmac = sessionHmac(session, authValue, cpHash, nonces, attributes);
    area.u32(session.handle).sized(nonceCaller).u8(attributes).sized(hmac);
  }
  return { area: area.done(), parameters, pending: { commandCode, turns } };
}

/**
 * Reads the response's authorisation area, lets the sessions' nonces roll, and gives the parameters, the first one
 * decrypted. PimsError `tpm-malformed` when a session's HMAC is another than the TPM would have made.
 */
export function checkAuthorizations(
  { commandCode, turns }: PendingAuthorizations,
  parameters: Uint8Array,
  reader: WireReader,
): Uint8Array {
  const head = new WireWriter().u32(0).u32(commandCode).done();
  let plain = parameters;
  for (const { authorization, session, nonceCaller, authValue } of turns) {
    const nonceTpm = reader.sized(MAX_DIGEST_BYTES);
    const attributes = reader.u8();
    const hmac = reader.sized(MAX_DIGEST_BYTES);
    if (session === null) {
      // A password's answer: empty nonce, continueSession at most, empty acknowledgement.
      if (nonceTpm.length > 0 || (attributes & ~TPMA_SESSION.continueSession) !== 0 || hmac.length > 0)
        reader.fail("the authorisation is not a password's");
      continue;
    }
    const expected = sessionHmac(
      session,
      authValue,
      digest(session, head, parameters),
      [nonceTpm, nonceCaller],
      attributes,
    );
    if (hmac.length !== expected.length || !timingSafeEqual(hmac, expected))
      reader.fail("the session's HMAC is wrong: it was altered on its way");
    session.nonceTpm = nonceTpm;
    if (authorization.encrypts.response)
      plain = cipherFirst(parameters, (bytes) =>
        cipherParameter("decrypt", session, authValue, [nonceTpm, nonceCaller], bytes),
      );
  }
  return plain;
}

function attributesOf({ session, encrypts, ends }: Authorization): number {
  if (session === null) return 0;
  return (
    (ends ? 0 : TPMA_SESSION.continueSession) |
    (encrypts.command ? TPMA_SESSION.decrypt : 0) |
    (encrypts.response ? TPMA_SESSION.encrypt : 0)
  );
}

function encryptFirst(turns: readonly Turn[], parameters: Uint8Array): Uint8Array {
  const turn = turns.find(({ authorization }) => authorization.encrypts.command);
  if (turn?.session == null) return parameters;
  const { session, nonceCaller, authValue } = turn;
  return cipherFirst(parameters, (bytes) =>
    cipherParameter("encrypt", session, authValue, [nonceCaller, session.nonceTpm], bytes),
  );
}

/** The first parameter is a TPM2B: its size stays as it is. Shorter parameters have none to encrypt. */
function cipherFirst(parameters: Uint8Array, cipher: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const size = parameters.length < 2 ? 0 : (parameters[0]! << 8) | parameters[1]!;
  return concatBytes(parameters.subarray(0, 2), cipher(parameters.slice(2, 2 + size)), parameters.subarray(2 + size));
}

/**
 * The first session's HMAC also covers the nonces of other sessions that encrypt, so that none can be taken out on the
 * way (part 1, "HMAC Computation": nonceTPM_decrypt and nonceTPM_encrypt).
 */
function noncesOfCiphers(turns: readonly Turn[]): Uint8Array[] {
  const decrypting = turns.find(({ authorization }) => authorization.encrypts.command);
  const encrypting = turns.find(({ authorization }) => authorization.encrypts.response);
  const others = new Set([decrypting, encrypting].filter((turn) => turn !== undefined && turn !== turns[0]));
  return [...others].map((turn) => turn!.session!.nonceTpm);
}

function digest(session: Session, ...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(hash(session.hash, concatBytes(...parts), "buffer"));
}
