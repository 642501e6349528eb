import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Hex, PrivateKeyAccount } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { PimsError } from "../core/errors.ts";

/** A key that signs transactions. It has an address; the secret itself cannot be read from it, nor printed. */
export type LedgerKey = PrivateKeyAccount;

/** A fresh key that exists in memory only. */
export function createKey(): LedgerKey {
  return privateKeyToAccount(generatePrivateKey());
}

/** Writes a fresh key to a new file that only its owner can read. Throws `key-exists` rather than replace one. */
export async function generateKeyFile(path: string): Promise<LedgerKey> {
  const secret = generatePrivateKey();
  let file: FileHandle;
  try {
    file = await open(path, "wx", 0o600);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") {
      throw new PimsError("key-exists", `${path} exists already`, { hint: "choose another name for the new key" });
    }
    throw new PimsError("key-unreadable", `the key file ${path} cannot be written`, { cause: error });
  }
  try {
    await file.writeFile(`${secret}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return privateKeyToAccount(secret);
}

/**
 * The key in a file: 64 hexadecimal digits, with or without 0x. Throws `key-unreadable` when it is not there, anybody
 * but its owner may read or write it, or it holds something else; what it holds is in no message.
 */
export async function readKeyFile(path: string): Promise<LedgerKey> {
  const text = await readPrivately(path);
  const digits = /^(?:0x)?([0-9a-fA-F]{64})\n?$/.exec(text)?.[1];
  if (digits === undefined) throw unreadable(path, "does not hold a private key");
  try {
    return privateKeyToAccount(`0x${digits}` as Hex);
  } catch {
    throw unreadable(path, "does not hold a private key");
  }
}

async function readPrivately(path: string): Promise<string> {
  let file: FileHandle;
  try {
    // Not blocking: a pipe in the key's place would wait for ever.
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
    const buffer = Buffer.alloc(128);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}

function unreadable(path: string, what: string, cause?: unknown, hint = "give the path of a key file"): PimsError {
  return new PimsError("key-unreadable", `the key file ${path} ${what}`, { hint, cause });
}
