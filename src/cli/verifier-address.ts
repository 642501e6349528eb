import { readFile } from "node:fs/promises";
import { type Operated, readOperatorToken } from "../attest/operator.ts";
import { formatVerifierAddress, parseVerifierAddress } from "../attest/verifier-address.ts";
import { PimsError } from "../core/errors.ts";
import { ADDRESS_FILE, OPERATOR_TOKEN_FILE } from "../verifier/config.ts";

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

export const OPERATOR_TOKEN = `${VERIFIER_STATE}/${OPERATOR_TOKEN_FILE}`;

export interface OperatorOptions {
  readonly verifier?: string;
  readonly operatorToken: string;
}

/** The verifier as an operator's command talks to it. */
export async function operated(options: OperatorOptions): Promise<Operated> {
  const token = await readOperatorToken(options.operatorToken);
  return { address: await verifierAddress(options.verifier), token };
}
