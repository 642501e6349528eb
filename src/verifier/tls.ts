import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { pinOf } from "../attest/verifier-address.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { makePrivateFile } from "../core/private-file.ts";
import { certificateDer, der, extension } from "../tpm/certificate/certificate-writer.ts";
import { TAG } from "../tpm/certificate/der.ts";

/** Name of the file in the state folder with the key and certificate that the verifier made itself, PEM. */
export const TLS_FILE = "tls.pem";

/** By what a verifier is known: PEM, and the pin of its key. */
export interface TlsIdentity {
  readonly key: string;
  /** Its own first, then those that lead to a root. */
  readonly certificate: string;
  readonly pin: string;
}

/**
 * The key and certificate that are configured, or those in the state folder, which are made when there are none. Throws
 * `tls-invalid`.
 */
export async function openTlsIdentity(
  state: string,
  configured: { readonly certificate: string; readonly key: string } | undefined,
): Promise<TlsIdentity> {
  if (configured !== undefined)
    return check(await readPem(configured.key), await readPem(configured.certificate), configured.certificate);
  const path = join(state, TLS_FILE);
  const pem = await makePrivateFile(path, makeSelfSigned);
  return check(pem, pem, path);
}

/** The pin of a certificate in PEM. Throws `tls-invalid`. */
export async function pinOfCertificate(path: string): Promise<string> {
  return pinOf(parse(path, await readPem(path), (pem) => new X509Certificate(pem)).publicKey);
}

function check(key: string, certificate: string, path: string): TlsIdentity {
  const privateKey = parse(path, key, createPrivateKey);
  const own = parse(path, certificate, (pem) => new X509Certificate(pem));
  if (!own.checkPrivateKey(privateKey)) throw invalid(path, "it is of another key than the private one");
  return { key, certificate, pin: pinOf(own.publicKey) };
}

function parse<T>(path: string, pem: string, read: (pem: string) => T): T {
  try {
    return read(pem);
  } catch (cause) {
    throw invalid(path, "it cannot be read as PEM", cause);
  }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw invalid(path, errorCode(cause) === "ENOENT" ? "there is no such file" : String(errorCode(cause)), cause);
  }
}

function invalid(path: string, why: string, cause?: unknown): PimsError {
  return new PimsError("tls-invalid", `the key or certificate of the verifier in ${path} cannot be used: ${why}`, {
    hint: `give others as listen.tls; a damaged ${TLS_FILE} may be deleted, and then every pin of it is void`,
    cause,
  });
}

/** Key and certificate in one file, so that there is never one without the other. It is known by its pin, so it never ends. */
function makeSelfSigned(): string {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = { name: "PIMS verifier", keys };
  const serial = new Uint8Array(randomBytes(16));
  // Positive, and in as few bytes as DER asks for.
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  const text = (tag: number, bytes: Uint8Array) => der(tag, bytes);
  const names = [...new Set(["localhost", hostname()])].map((name) => text(0x82, new Uint8Array(Buffer.from(name))));
  const addresses = [
    [127, 0, 0, 1],
    [...new Array(15).fill(0), 1],
  ].map((bytes) => text(0x87, new Uint8Array(bytes)));
  // For programs that go by names, as browsers do (subjectAltName: dNSName and iPAddress).
  const extensions = [extension("2.5.29.17", der(TAG.sequence, ...names, ...addresses))];
  const certificate = certificateDer({ subject, issuer: subject, serial, extensions });
  return exportPem(keys.privateKey) + new X509Certificate(certificate).toString();
}

function exportPem(key: KeyObject): string {
  return String(key.export({ type: "pkcs8", format: "pem" }));
}
