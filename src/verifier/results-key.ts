import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { type Jwk, jwkOf } from "../attest/jwt.ts";
import { pinOf } from "../attest/verifier-address.ts";
import { PimsError } from "../core/errors.ts";
import { makePrivateFile } from "../core/private-file.ts";

/** Name of the file in the state folder with the key that results are signed with, PEM. */
const RESULTS_KEY_FILE = "results-key.pem";

/** What a verifier signs its results with. */
export interface ResultsKey {
  readonly privateKey: KeyObject;
  readonly jwk: Jwk;
  /** By which others know it. */
  readonly pin: string;
}

/** The key in the state folder, made when there is none. Throws `results-key-invalid`. */
export async function openResultsKey(state: string): Promise<ResultsKey> {
  const path = join(state, RESULTS_KEY_FILE);
  const pem = await makePrivateFile(path, () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return String(privateKey.export({ type: "pkcs8", format: "pem" }));
  });
  try {
    const privateKey = createPrivateKey(pem);
    return { privateKey, jwk: jwkOf(privateKey), pin: pinOf(createPublicKey(privateKey)) };
  } catch (cause) {
    throw new PimsError("results-key-invalid", `the key for results in ${path} is damaged`, {
      hint: "bring back a copy of it; without the file a new key is made, which nobody knows yet",
      cause,
    });
  }
}
