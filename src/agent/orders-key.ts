import { createPublicKey, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { pinOf } from "../attest/verifier-address.ts";
import { PimsError } from "../core/errors.ts";
import { readPrivateFile, replacePrivateFile } from "../core/private-file.ts";
import type { VerifierClient } from "./verifier-client.ts";

/** Name of the file in the state folder with the verifier's key for orders, base64. */
export const ORDERS_KEY_FILE = "orders-key";

/**
 * The verifier's key for orders, from the state folder. Where it is not there yet, as right after the host was enrolled, the
 * verifier is asked for it over the connection that its own key vouches for, and it is kept: another one is not taken
 * until the host is enrolled again. Null while the verifier does not answer. Throws `orders-key-invalid`.
 */
export async function readOrdersKey(
  state: string,
  verifier: VerifierClient,
  report: (text: string) => void,
): Promise<KeyObject | null> {
  const path = join(state, ORDERS_KEY_FILE);
  const kept = await readPrivateFile(path);
  if (kept !== null) return parse(kept.trim(), path);
  let given: string;
  try {
    given = await verifier.ordersKey();
  } catch (error) {
    if (error instanceof PimsError) return null;
    throw error;
  }
  const key = parse(given, "the verifier's answer");
  await replacePrivateFile(path, `${given}\n`);
  report(`orders of the verifier are taken that the key ${pinOf(key)} has signed`);
  return key;
}

function parse(text: string, where: string): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(text, "base64"), format: "der", type: "spki" });
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // Said below.
  }
  throw new PimsError("orders-key-invalid", `the key for orders in ${where} is none`, {
    hint: "delete the file, and the verifier is asked again",
  });
}
