import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { PimsError } from "../core/errors.ts";
import { makePrivateFile } from "../core/private-file.ts";

/** Name of the file in the state folder with the Ed25519 key that orders are signed with, PEM. */
export const ORDERS_KEY_FILE = "orders-key.pem";

/** The key in the state folder, made when there is none. Throws `orders-key-invalid`. */
export async function openOrdersKey(state: string): Promise<KeyObject> {
  const path = join(state, ORDERS_KEY_FILE);
  const pem = await makePrivateFile(path, makeOrdersKey);
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // Said below.
  }
  throw new PimsError("orders-key-invalid", `the key for orders in ${path} is damaged`, {
    hint: "bring back a copy of it; without the file a new key is made, and hosts take orders only after they were enrolled again",
  });
}

function makeOrdersKey(): string {
  return String(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }));
}

/** SubjectPublicKeyInfo in base64, as agents are given it. */
export function publicPart(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64");
}
