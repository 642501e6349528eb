import { createPublicKey, verify } from "node:crypto";
import { bytesEqual } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";
import type { Certificate } from "./certificate.ts";
import { authorityKeyId, basicConstraints, EXTENSION, KEY_USAGE, mayBeUsedFor, subjectKeyId } from "./extensions.ts";

/** Makers' paths have two to four certificates. */
const MAX_PATH = 8;
/** Signatures checked for one path: names may be many, and each may be on several certificates. */
const MAX_SIGNATURES = 64;

/**
 * Signature algorithms, as node:crypto calls their hash. SHA-1 is among them since makers signed many TPMs' certificates
 * with it: only the maker could make two of them collide.
 */
const HASHES: ReadonlyMap<string, string> = new Map([
  ["1.2.840.113549.1.1.5", "sha1"],
  ["1.2.840.113549.1.1.11", "sha256"],
  ["1.2.840.113549.1.1.12", "sha384"],
  ["1.2.840.113549.1.1.13", "sha512"],
  ["1.2.840.10045.4.3.2", "sha256"],
  ["1.2.840.10045.4.3.3", "sha384"],
  ["1.2.840.10045.4.3.4", "sha512"],
]);

/** Extensions that this check heeds. Any other that is critical is a condition we do not know. */
const HEEDED: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/**
 * Finds a path from a certificate to a self-signed one among `known` and checks all of it (RFC 5280, 6.1): names and key
 * identifiers, signatures, dates at `nowMs`, CA bit, path length, key usage, critical extensions. Name and policy
 * constraints are not known here: where they are critical the path is refused. Revocation is not looked at. Gives the
 * path, the given certificate first. PimsError `ek-untrusted` says what keeps the best path from holding.
 */
export function checkPath(leaf: Certificate, known: readonly Certificate[], nowMs: number): Certificate[] {
  const budget = { signatures: MAX_SIGNATURES };
  let problem = "no certificate of its issuer is among the roots";
  let furthest = 0;
  const note = (depth: number, text: string): void => {
    if (depth < furthest) return;
    [furthest, problem] = [depth, text];
  };
  const extend = (path: Certificate[]): Certificate[] | undefined => {
    const last = path.at(-1)!;
    const own = problemOf(last, nowMs);
    if (own !== undefined) return void note(path.length, own);
    if (path.length > 1 && isSelfIssued(last)) {
      const issue = problemBetween(last, last, 0, budget);
      return issue === undefined ? path : void note(path.length, issue);
    }
    if (path.length >= MAX_PATH) return void note(path.length, `more than ${MAX_PATH} certificates on the way`);
    for (const issuer of known) {
      if (!bytesEqual(issuer.subject, last.issuer) || path.includes(issuer)) continue;
      // Certification authorities between this issuer and the leaf.
      const below = path.slice(1).filter((certificate) => !isSelfIssued(certificate)).length;
      const issue = problemBetween(last, issuer, below, budget);
      if (issue !== undefined) note(path.length, issue);
      else {
        const whole = extend([...path, issuer]);
        if (whole !== undefined) return whole;
      }
    }
    return undefined;
  };
  const path = extend([leaf]);
  if (path !== undefined) return path;
  throw new PimsError("ek-untrusted", `the TPM's certificate leads to no root that is trusted: ${problem}`);
}

function isSelfIssued({ issuer, subject }: Certificate): boolean {
  return bytesEqual(issuer, subject);
}

function problemOf({ notBefore, notAfter, extensions }: Certificate, nowMs: number): string | undefined {
  const day = (time: number): string => new Date(time).toISOString().slice(0, 10);
  if (nowMs < notBefore) return `a certificate is not valid before ${day(notBefore)}`;
  if (nowMs > notAfter) return `a certificate expired on ${day(notAfter)}`;
  for (const [oid, { critical }] of extensions)
    if (critical && !HEEDED.has(oid)) return `a certificate has the critical extension ${oid}, which is not known here`;
  return undefined;
}

function problemBetween(
  certificate: Certificate,
  issuer: Certificate,
  below: number,
  budget: { signatures: number },
): string | undefined {
  const [wanted, found] = [authorityKeyId(certificate), subjectKeyId(issuer)];
  if (wanted !== undefined && found !== undefined && !bytesEqual(wanted, found))
    return "its issuer's key is another one";
  const { ca, pathLength } = basicConstraints(issuer);
  if (!ca) return "a certificate on the way may not certify others (CA bit)";
  if (below > pathLength) return "a certificate on the way certifies more steps than it may (path length)";
  if (!mayBeUsedFor(issuer, KEY_USAGE.keyCertSign)) return "a key on the way may not sign certificates (key usage)";
  if (budget.signatures-- <= 0) return "there are too many certificates of the same name";
  return isSignedBy(certificate, issuer) ? undefined : "a signature on the way is wrong";
}

function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const hash = HASHES.get(certificate.signatureAlgorithm);
  if (hash === undefined) return false;
  try {
    const key = createPublicKey({ key: Buffer.from(issuer.keyInfo), format: "der", type: "spki" });
    // RSASSA-PKCS1 and ECDSA are told apart by the key, so the algorithm has to be the key's.
    const rsa = certificate.signatureAlgorithm.startsWith("1.2.840.113549.");
    if (key.asymmetricKeyType !== (rsa ? "rsa" : "ec")) return false;
    return verify(hash, certificate.signed, key, certificate.signature);
  } catch {
    // A key that OpenSSL does not take signs nothing.
    return false;
  }
}
