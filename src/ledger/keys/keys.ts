import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type Address, type Hex, hexToBytes, type TransactionSerializableLegacy } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { toHex } from "../../core/bytes.ts";
import { errorCode, PimsError } from "../../core/errors.ts";
import { decryptSecret, encryptSecret, isKeystore, type ScryptCost } from "./keystore.ts";

/** The transactions that are signed here. */
export type Transaction = TransactionSerializableLegacy;

/** A key that signs transactions. It has an address; the secret itself cannot be read from it, nor printed. */
export interface LedgerKey {
  readonly address: Address;
  /** The signed transaction, serialised. */
  signTransaction(transaction: Transaction): Promise<Hex>;
}

/** A fresh key that exists in memory only. */
export function createKey(): LedgerKey {
  return keyOf(generatePrivateKey());
}

export interface NewKey {
  /** Where to; a file that is there already is not replaced. */
  path: string;
  passphrase: string;
  /** A file with 64 hexadecimal digits, to be encrypted instead of a fresh key. */
  importFrom?: string;
  cost?: ScryptCost;
}

/**
 * Writes a key, encrypted under a passphrase, to a new file that only its owner can read: Web3 Secret Storage.
 * Throws `key-exists`, `key-unreadable`, `passphrase-weak`.
 */
export async function generateKeyFile({ path, passphrase, importFrom, cost }: NewKey): Promise<LedgerKey> {
  if (passphrase.length < 8)
    throw new PimsError("passphrase-weak", "a passphrase has at least 8 characters", {
      hint: "whoever copies the file can try as many as they like: take several words",
    });
  const secret = importFrom === undefined ? generatePrivateKey() : await readPlainKey(importFrom);
  const key = keyOf(secret);
  const text = await encryptSecret(hexToBytes(secret), key.address.slice(2).toLowerCase(), passphrase, cost);
  let file: FileHandle;
  try {
    file = await open(path, "wx", 0o600);
  } catch (error) {
    if (errorCode(error) === "EEXIST") {
      throw new PimsError("key-exists", `${path} exists already`, { hint: "choose another name for the new key" });
    }
    throw new PimsError("key-unreadable", `the key file ${path} cannot be written`, { cause: error });
  }
  try {
    await file.writeFile(`${text}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return key;
}

/**
 * The key in a file, which is Web3 Secret Storage of version 3; `askPassphrase` is called when it has that form. Throws
 * `key-unreadable` when it is not there, anybody but its owner may read or write it, or it holds something else, and
 * `passphrase-wrong`; what it holds is in no message.
 */
export async function readKeyFile(path: string, askPassphrase: () => Promise<string>): Promise<LedgerKey> {
  const text = await readPrivately(path);
  if (plainKey(text) !== null)
    throw unreadable(path, "holds a key that is not encrypted", undefined, "encrypt it: pims ledger key --import");
  if (!isKeystore(text)) throw unreadable(path, "is not an encrypted key (Web3 Secret Storage, scrypt, aes-128-ctr)");
  const secret = await decryptSecret(text, await askPassphrase());
  try {
    return keyOf(`0x${toHex(secret)}`);
  } catch {
    throw unreadable(path, "does not hold a private key");
  }
}

/** A passphrase from a file that only its owner can read; a line break at the end is not part of it. Throws `key-unreadable`. */
export async function readPassphraseFile(path: string): Promise<string> {
  return (await readPrivately(path)).replace(/\r?\n$/, "");
}

/** What can be seen of the account is its address and what it signs. */
function keyOf(secret: Hex): LedgerKey {
  const account = privateKeyToAccount(secret);
  return { address: account.address, signTransaction: (transaction) => account.signTransaction(transaction) };
}

async function readPlainKey(path: string): Promise<Hex> {
  const secret = plainKey(await readPrivately(path));
  if (secret === null) throw unreadable(path, "does not hold a private key");
  return secret;
}

/** 64 hexadecimal digits, with or without 0x, that are a key of the curve. */
function plainKey(text: string): Hex | null {
  const digits = /^(?:0x)?([0-9a-fA-F]{64})\s*$/.exec(text)?.[1];
  if (digits === undefined) return null;
  try {
    keyOf(`0x${digits}`);
    return `0x${digits}`;
  } catch {
    return null;
  }
}

const MAX_FILE = 4096;

async function readPrivately(path: string): Promise<string> {
  let file: FileHandle;
  try {
    // Not blocking: a pipe in the file's place would wait for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw unreadable(path, "cannot be opened", error);
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) throw unreadable(path, "is not a file");
    if ((status.mode & 0o077) !== 0) {
      throw unreadable(path, "can be read by others than its owner", undefined, `run chmod 600 ${path}`);
    }
    const buffer = Buffer.alloc(MAX_FILE + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > MAX_FILE) throw unreadable(path, "is too long");
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

function unreadable(path: string, what: string, cause?: unknown, hint = "give the path of a key file"): PimsError {
  return new PimsError("key-unreadable", `the key file ${path} ${what}`, { hint, cause });
}
