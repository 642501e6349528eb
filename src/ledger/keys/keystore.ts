import { createCipheriv, createDecipheriv, randomBytes, randomUUID, scrypt } from "node:crypto";
import { keccak256 } from "viem";
import { z } from "zod";
import { bytesEqual, fromHex, toHex } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";

/** What deriving a key from a passphrase costs: scrypt's N, r and p (RFC 7914). Memory is 128·N·r bytes. */
export interface ScryptCost {
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/** geth's standard: 256 MiB and about a second. */
const STANDARD_COST: ScryptCost = { n: 2 ** 18, r: 8, p: 1 };

/** What a file may ask of whoever reads it. */
const MAX_MEMORY = 512 * 1024 * 1024;
const MAX_P = 16;

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-fA-F]{${2 * bytes}}$`));
const fileSchema = z.object({
  version: z.literal(3),
  crypto: z.object({
    cipher: z.literal("aes-128-ctr"),
    cipherparams: z.object({ iv: hex(16) }),
    ciphertext: hex(32),
    kdf: z.literal("scrypt"),
    kdfparams: z.object({
      dklen: z.literal(32),
      n: z.int().min(2),
      r: z.int().min(1),
      p: z.int().min(1).max(MAX_P),
      salt: z.string().regex(/^([0-9a-fA-F]{2}){8,64}$/),
    }),
    mac: hex(32),
  }),
});

/**
 * A private key of 32 bytes, encrypted under a passphrase: Web3 Secret Storage, version 3, with scrypt and AES-128-CTR,
 * as geth and its kin read it. `address` is 40 hexadecimal digits, and is in it in plain.
 */
export async function encryptSecret(
  secret: Uint8Array,
  address: string,
  passphrase: string,
  cost: ScryptCost = STANDARD_COST,
): Promise<string> {
  const salt = randomBytes(32);
  const iv = randomBytes(16);
  const derived = await derive(passphrase, salt, cost);
  const cipher = createCipheriv("aes-128-ctr", derived.subarray(0, 16), iv);
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  return JSON.stringify({
    address,
    crypto: {
      cipher: "aes-128-ctr",
      ciphertext: toHex(ciphertext),
      cipherparams: { iv: toHex(iv) },
      kdf: "scrypt",
      kdfparams: { dklen: 32, ...cost, salt: toHex(salt) },
      mac: toHex(macOf(derived, ciphertext)),
    },
    id: randomUUID(),
    version: 3,
  });
}

/** Whether a text has the form, with a cost that is in bounds: whether it is worth asking for the passphrase. */
export function isKeystore(text: string): boolean {
  return parse(text) !== null;
}

/** The 32 bytes. Throws `keystore-malformed`, and `passphrase-wrong` when the passphrase or the file's content is another. */
export async function decryptSecret(text: string, passphrase: string): Promise<Uint8Array> {
  const parsed = parse(text);
  if (parsed === null)
    throw new PimsError("keystore-malformed", "this is not a keystore of version 3 with scrypt and aes-128-ctr");
  const { kdfparams, cipherparams, mac } = parsed.crypto;
  const derived = await derive(passphrase, fromHex(kdfparams.salt.toLowerCase()), kdfparams);
  const ciphertext = fromHex(parsed.crypto.ciphertext.toLowerCase());
  if (!bytesEqual(macOf(derived, ciphertext), fromHex(mac.toLowerCase())))
    throw new PimsError("passphrase-wrong", "the passphrase is not the one of this key file");
  const decipher = createDecipheriv("aes-128-ctr", derived.subarray(0, 16), fromHex(cipherparams.iv.toLowerCase()));
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}

function parse(text: string): z.infer<typeof fileSchema> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) return null;
  const { n, r } = parsed.data.crypto.kdfparams;
  // RFC 7914 §2: a power of two, less than 2^(128·r/8).
  const isCost = (n & (n - 1)) === 0 && Math.log2(n) < 16 * r;
  return isCost && 128 * n * r <= MAX_MEMORY ? parsed.data : null;
}

function macOf(derived: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return keccak256(Buffer.concat([derived.subarray(16, 32), ciphertext]), "bytes");
}

function derive(passphrase: string, salt: Uint8Array, { n, r, p }: ScryptCost): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { N: n, r, p, maxmem: 2 * MAX_MEMORY };
    scrypt(passphrase, salt, 32, options, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}
