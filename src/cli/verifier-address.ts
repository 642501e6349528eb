import { readFile } from "node:fs/promises";
import { formatVerifierAddress, parseVerifierAddress } from "../attest/verifier-address.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { ADDRESS_FILE } from "../verifier/config.ts";

/** Where a verifier on this machine keeps its state, unless it is told otherwise. */
export const VERIFIER_STATE = "/var/lib/pims/verifier";

/** The address of the verifier that a command talks to: its option, PIMS_VERIFIER, or what the one on this machine wrote down. */
export async function verifierAddress(option: string | undefined): Promise<string> {
  const address = option ?? process.env.PIMS_VERIFIER ?? (await ownAddress());
  return formatVerifierAddress(parseVerifierAddress(address));
}

async function ownAddress(): Promise<string> {
  const path = `${VERIFIER_STATE}/${ADDRESS_FILE}`;
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw new PimsError("usage", `no verifier is named, and none of this machine has left its address in ${path}`, {
      hint: "give --verifier or PIMS_VERIFIER the address that 'pims verifier run' prints",
      cause,
    });
  }
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
