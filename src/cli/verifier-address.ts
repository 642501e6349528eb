import { readFile } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";

export const DEFAULT_VERIFIER = "http://127.0.0.1:7467";

/** The verifier that a command talks to: its option, PIMS_VERIFIER, or the one on this machine. */
export function verifierUrl(option: string | undefined): string {
  const url = option ?? process.env.PIMS_VERIFIER ?? DEFAULT_VERIFIER;
  if (!/^https?:\/\/[^/]+\/?$/.test(url))
    throw new PimsError("usage", `${JSON.stringify(url)} is not the address of a verifier`, {
      hint: `give one such as ${DEFAULT_VERIFIER}`,
    });
  return url.replace(/\/$/, "");
}

/** The join token in a file, for requests that only an operator may make. */
export async function readJoinToken(path: string): Promise<string> {
  try {
    const token = (await readFile(path, "utf8")).trim();
    if (/^[0-9a-f]{64}$/.test(token)) return token;
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  throw new PimsError("token-invalid", `there is no join token in ${path}`, {
    hint: "it is the file 'join-token' in the verifier's state folder; give it with --join-token",
  });
}
