import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Challenge, EnrollRequest, InviteRequest, TpmIdentity } from "../attest/enrollment.ts";
import { hasDigest, makeToken, tokenDigest } from "../attest/token.ts";
import { toHex } from "../core/bytes.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import type { Certificate } from "../tpm/certificate/certificate.ts";
import { checkEkCertificate } from "../tpm/certificate/ek-certificate.ts";
import type { TpmNames } from "../tpm/certificate/extensions.ts";
import { makeCredential } from "../tpm/credential.ts";
import { isEkPublic } from "../tpm/endorsement-key.ts";
import { computeName } from "../tpm/name.ts";
import type { Endorsement, EnrollmentStore, Invitation } from "./enrollment-store.ts";
import type { Verifier } from "./verifier.ts";

export interface EnrollmentOptions {
  /** Certificates of TPM makers. */
  readonly roots: readonly Certificate[];
  /** TPMs that none of them vouches for are taken, too. */
  readonly uncertified: boolean;
  /** SHA-256 of the operator's token, hexadecimal. */
  readonly operator: string;
}

interface OpenChallenge {
  readonly host: string;
  readonly tokenDigest: string;
  readonly akPublic: Uint8Array;
  readonly endorsement: Endorsement;
  readonly identity: TpmIdentity;
  readonly secret: Uint8Array;
  /** Monotonic, milliseconds. */
  readonly untilMs: number;
}

/** An RSA key takes a slow TPM the better part of a minute. */
const CHALLENGE_MS = 5 * 60_000;
const MAX_CHALLENGES = 256;
const HOUR_MS = 3_600_000;

/**
 * Enrolls hosts: a TPM's maker vouches for the endorsement key, and a credential proves that the attestation key lives in
 * the same TPM. Only what was proved so is held against anybody, so that a stranger's claims harm no host.
 */
export class Enrollment {
  readonly #options: EnrollmentOptions;
  readonly #verifier: Verifier;
  readonly #store: EnrollmentStore;
  readonly #clock: Clock;
  readonly #open = new Map<string, OpenChallenge>();

  constructor(options: EnrollmentOptions, modules: { verifier: Verifier; store: EnrollmentStore; clock: Clock }) {
    this.#options = options;
    this.#verifier = modules.verifier;
    this.#store = modules.store;
    this.#clock = modules.clock;
  }

  /** Whether a token is the operator's. It decides on hosts, and enrolls none. */
  isOperatorToken(token: string): boolean {
    return hasDigest(token, this.#options.operator);
  }

  /** Whether a token opens enrollment, of any host or of one. */
  mayJoin(token: string): boolean {
    return this.#invitation(token) !== null;
  }

  /**
   * The first step: a credential for the TPM that has both keys, if it is one that may come. PimsError `not-authorized`,
   * `host-invalid`, `quote-invalid`, `ek-untrusted`, `tpm-uncertified`, `host-revoked`.
   */
  challenge(token: string, request: EnrollRequest): Challenge {
    const { host } = request;
    const invitation = this.#permission(token, host);
    const [akPublic, ekPublic] = [request.akPublic, request.ekPublic].map(fromBase64) as [Uint8Array, Uint8Array];
    this.#verifier.checkEnrollable(host, akPublic);
    if (!isEkPublic(ekPublic))
      throw new PimsError("ek-untrusted", "the endorsement key is not of TCG's template (RSA 2048 or ECC P-256)");
    const certificate = request.ekCertificate === null ? null : fromBase64(request.ekCertificate);
    const uncertified = this.#options.uncertified || invitation.uncertified;
    const identity = {
      ekName: toHex(computeName(ekPublic)),
      certified: this.#certified(certificate, ekPublic, uncertified),
    };
    this.#refuseRevoked(host, identity.ekName, invitation);

    const secret = new Uint8Array(randomBytes(32));
    const blob = makeCredential(ekPublic, computeName(akPublic), secret);
    const challenge = randomBytes(16).toString("hex");
    const untilMs = this.#clock.monotonicMs() + CHALLENGE_MS;
    while (this.#open.size >= MAX_CHALLENGES) this.#open.delete(this.#open.keys().next().value!);
    const endorsement = { ekPublic, certificate };
    this.#open.set(challenge, {
      host,
      tokenDigest: tokenDigest(token),
      akPublic,
      endorsement,
      identity,
      secret,
      untilMs,
    });
    const [idObject, encryptedSecret] = [blob.idObject, blob.encryptedSecret].map(toBase64) as [string, string];
    return { challenge, idObject, encryptedSecret };
  }

  /**
   * The second step: whoever opened the credential has both keys in one TPM. Returns the host's own token. PimsError
   * `credential-invalid`, `tpm-changed`, `host-cloned`, `host-revoked`.
   */
  activate(token: string, host: string, answer: { challenge: string; secret: string }): string {
    const open = this.#open.get(answer.challenge);
    this.#open.delete(answer.challenge);
    const given = createHash("sha256").update(answer.secret).digest();
    const expected = createHash("sha256")
      .update(toHex(open?.secret ?? new Uint8Array(0)))
      .digest();
    const fits = timingSafeEqual(given, expected);
    if (
      open === undefined ||
      !fits ||
      open.host !== host ||
      open.tokenDigest !== tokenDigest(token) ||
      this.#isLate(open)
    )
      throw new PimsError("credential-invalid", "the credential was not opened by the TPM that it was made for");
    const invitation = this.#permission(token, host);
    const { akPublic, endorsement, identity } = open;
    this.#refuseRevoked(host, identity.ekName, invitation);
    this.#refuseClone(host, identity.ekName);
    // Before the host is enrolled: whatever ends this process in between, it is never worth two.
    this.#store.useInvitation(invitation.tokenDigest);
    try {
      const own = this.#verifier.enroll(host, akPublic, identity, { anew: invitation.anew });
      this.#store.setEndorsement(host, endorsement);
      if (invitation.host !== null) this.#store.clearNotice(host);
      return own;
    } catch (error) {
      this.#store.invite(invitation, this.#clock.now());
      throw error;
    }
  }

  /** An operator's decision: a token for enrollments. What was noticed of a host that is named is settled. */
  invite({ host, uncertified, anew, uses, hours }: InviteRequest): { token: string; expiresAt: string } {
    if (host !== null) this.#verifier.checkHostName(host);
    const token = makeToken();
    const now = this.#clock.now();
    const expiresAt = Math.round(now + hours * HOUR_MS);
    this.#store.invite({ tokenDigest: tokenDigest(token), host, uncertified, anew, uses, expiresAt }, now);
    // A revoked host stays so until it comes with the token.
    if (host !== null && this.#store.notice(host)?.reason !== "host-revoked") this.#store.clearNotice(host);
    return { token, expiresAt: rfc3339(expiresAt) };
  }

  #permission(token: string, host: string): Invitation {
    const invitation = this.#invitation(token);
    if (invitation !== null && (invitation.host === null || invitation.host === host)) return invitation;
    throw new PimsError("not-authorized", `the token shown does not open the enrollment of ${host}`);
  }

  #invitation(token: string): Invitation | null {
    const invitation = this.#store.invitation(tokenDigest(token));
    return invitation !== null && this.#clock.now() <= invitation.expiresAt ? invitation : null;
  }

  /** The TPM's names when its maker is known; null when it is taken without. */
  #certified(certificate: Uint8Array | null, ekPublic: Uint8Array, uncertified: boolean): TpmNames | null {
    const hint = "'pims host enroll HOST --uncertified' decides so for one host, 'enrollment.uncertified' for all";
    if (certificate === null) {
      if (uncertified) return null;
      throw new PimsError("tpm-uncertified", "the TPM holds no certificate of its maker", { hint });
    }
    try {
      return checkEkCertificate(certificate, ekPublic, this.#options.roots, this.#clock.now());
    } catch (cause) {
      if (errorCode(cause) !== "ek-untrusted" && errorCode(cause) !== "tpm-malformed") throw cause;
      if (uncertified) return null;
      throw new PimsError("tpm-uncertified", describeError(cause), { hint, cause });
    }
  }

  /** Revoked is the machine, not its name: under another it needs an operator's decision as well. */
  #refuseRevoked(host: string, ekName: string, invitation: Invitation): void {
    if (invitation.host !== null) return;
    for (const name of new Set([host, ...this.#store.hostsWith(ekName)]))
      if (this.#store.notice(name)?.reason === "host-revoked")
        throw new PimsError("host-revoked", `${name} was revoked`, {
          hint: "'pims host enroll HOST' gives a token with which it may come again",
        });
  }

  #refuseClone(host: string, ekName: string): void {
    const others = this.#store
      .hostsWith(ekName)
      .filter((name) => name !== host && this.#store.notice(name)?.reason !== "host-revoked");
    for (const other of others)
      this.#verifier.refuseTpm(other, "host-cloned", `the endorsement key of this host was also shown by ${host}`);
    if (others.length > 0)
      throw new PimsError("host-cloned", `the TPM of ${host} is that of ${others.join(", ")}`, {
        hint: "a copied virtual machine needs a TPM of its own; for a renamed host revoke the old name first",
      });
  }

  #isLate({ untilMs }: OpenChallenge): boolean {
    return this.#clock.monotonicMs() > untilMs;
  }
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
