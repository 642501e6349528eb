import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { concatBytes } from "../core/bytes.ts";
import type { HashName } from "./algorithms.ts";
import { kdfa } from "./kdf.ts";

/**
 * An open session (TPM 2.0 Library part 1, "Session-Based Authorizations"), made by `startSession`. It serves one command
 * at a time, and ends with `flushContext` or with a command that is told to end it.
 */
export interface Session {
  readonly handle: number;
  readonly kind: "hmac" | "policy" | "trial";
  readonly hash: HashName;
  /** sessionKey; empty for a session without a salt. */
  readonly key: Uint8Array;
  /** Of AES in CFB mode, for parameters; 0 when the session cannot encrypt any. */
  readonly aesBits: 0 | 128 | 256;
  /** The TPM's last nonce: it rolls with every command. */
  nonceTpm: Uint8Array;
  /** TPM2_PolicyAuthValue was among the policy's commands, so the object's authorisation value is asked for. */
  policyNeedsAuthValue: boolean;
  /** A command that uses it is under way. */
  busy: boolean;
}

/** How a command shows that it may use a handle; one that belongs to no handle only encrypts parameters. */
export interface Authorization {
  /** Null for a plain password. */
  readonly session: Session | null;
  /** authValue of the handle that is authorised. */
  readonly authValue: Uint8Array;
  /** Whose first parameter is encrypted on the way: it must be a TPM2B. */
  readonly encrypts: { readonly command: boolean; readonly response: boolean };
  /** The session ends when the command succeeds. */
  readonly ends: boolean;
}

/** Authorisation by a password, empty unless it is given. It travels in plain. */
export function password(authValue: Uint8Array = new Uint8Array(0)): Authorization {
  return { session: null, authValue, encrypts: { command: false, response: false }, ends: false };
}

export const EMPTY_PASSWORD = password();

/** Authorisation by a session. `authValue` proves itself by an HMAC and does not travel. */
export function bySession(
  session: Session,
  options: { authValue?: Uint8Array; encryptCommand?: boolean; encryptResponse?: boolean; ends?: boolean } = {},
): Authorization {
  const encrypts = { command: options.encryptCommand ?? false, response: options.encryptResponse ?? false };
  return { session, authValue: options.authValue ?? new Uint8Array(0), encrypts, ends: options.ends ?? false };
}

/**
 * The HMAC of one session over a command or a response (part 1, "HMAC Computation"). Empty where the specification has
 * none: a policy session without a key and without need of an authorisation value.
 */
export function sessionHmac(
  session: Session,
  authValue: Uint8Array,
  hashedParameters: Uint8Array,
  nonces: readonly Uint8Array[],
  attributes: number,
): Uint8Array {
  const counts = session.kind === "hmac" || session.policyNeedsAuthValue;
  const key = concatBytes(session.key, counts ? trimmed(authValue) : new Uint8Array(0));
  if (key.length === 0 && session.kind !== "hmac") return key;
  const message = concatBytes(hashedParameters, ...nonces, new Uint8Array([attributes]));
  return new Uint8Array(createHmac(session.hash, key).update(message).digest());
}

/**
 * Encrypts or decrypts the bytes of a TPM2B (part 1, "CFB Mode Parameter Encryption"). The authorisation value counts for
 * the session that authorises a handle, also where it is a policy.
 */
export function cipherParameter(
  direction: "encrypt" | "decrypt",
  session: Session,
  authValue: Uint8Array,
  nonces: readonly [newer: Uint8Array, older: Uint8Array],
  bytes: Uint8Array,
): Uint8Array {
  if (session.aesBits === 0) throw new Error("this session cannot encrypt parameters");
  const derived = kdfa(
    session.hash,
    concatBytes(session.key, trimmed(authValue)),
    "CFB",
    nonces,
    session.aesBits + 128,
  );
  const [key, iv] = [derived.subarray(0, session.aesBits / 8), derived.subarray(session.aesBits / 8)];
  const make = direction === "encrypt" ? createCipheriv : createDecipheriv;
  const cipher = make(`aes-${session.aesBits}-cfb`, key, iv);
  return concatBytes(cipher.update(bytes), cipher.final());
}

/** The TPM removes trailing zeros of an authorisation value (part 1, "Authorization Size Convention"). */
function trimmed(authValue: Uint8Array): Uint8Array {
  let length = authValue.length;
  while (length > 0 && authValue[length - 1] === 0) length--;
  return authValue.subarray(0, length);
}
