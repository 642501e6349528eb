import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, PimsError } from "../../core/errors.ts";
import { type Certificate, MAX_CERTIFICATE_BYTES, parseCertificate } from "./certificate.ts";

const MAX_FILES = 2000;
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * The certificates of makers in a folder: files in PEM, with any number of them, or DER. A self-signed one is trusted, the
 * others are steps towards such. PimsError `roots-unusable` names the file that is neither.
 */
export async function readRoots(folder: string): Promise<Certificate[]> {
  const certificates: Certificate[] = [];
  for (const name of (await names(folder)).sort()) {
    const path = join(folder, name);
    try {
      for (const der of certificatesIn(await readBounded(path))) certificates.push(parseCertificate(der));
    } catch (cause) {
      if (errorCode(cause) === "EISDIR") continue;
      const why = cause instanceof PimsError ? cause.message : (errorCode(cause) ?? "unreadable");
      throw new PimsError("roots-unusable", `${path} is not a certificate in PEM or DER (${why})`, {
        hint: "the folder holds the certificates of TPM makers and nothing else",
        cause,
      });
    }
  }
  return certificates;
}

async function names(folder: string): Promise<string[]> {
  try {
    const all = (await readdir(folder)).filter((name) => !name.startsWith("."));
    if (all.length <= MAX_FILES) return all;
    throw new PimsError("roots-unusable", `${folder} holds more than ${MAX_FILES} files`);
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    throw new PimsError("roots-unusable", `the folder of roots ${folder} cannot be read (${errorCode(cause)})`, {
      cause,
    });
  }
}

async function readBounded(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  const { size } = await file.stat();
  if (size > MAX_FILE_BYTES) throw new PimsError("roots-unusable", `${size} bytes`);
  return new Uint8Array(await file.readFile());
}

function certificatesIn(bytes: Uint8Array): Uint8Array[] {
  const text = Buffer.from(bytes).toString("latin1");
  const blocks = [
    ...text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,100000}?)-----END CERTIFICATE-----/g),
  ];
  if (blocks.length === 0) return [bytes.slice(0, MAX_CERTIFICATE_BYTES + 1)];
  return blocks.map(([, base64]) => new Uint8Array(Buffer.from(base64!, "base64")));
}
