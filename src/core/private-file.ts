import { randomUUID } from "node:crypto";
import { link, open, readFile, rename, unlink } from "node:fs/promises";
import { errorCode } from "./errors.ts";

/**
 * The content of a small file that is made when it does not exist, for its owner's eyes only. Whole or not there at all,
 * also after a power failure; of several that make it at the same time one wins, and all get its content.
 */
export async function makePrivateFile(path: string, make: () => string): Promise<string> {
  const found = await readPrivateFile(path);
  if (found !== null) return found;
  const draft = await writeDraft(path, make());
  try {
    await link(draft, path);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  } finally {
    await unlink(draft);
  }
  return readFile(path, "utf8");
}

/** Puts a small file in the place of another, for its owner's eyes only: the one or the other, never half of it. */
export async function replacePrivateFile(path: string, content: string): Promise<void> {
  await rename(await writeDraft(path, content), path);
}

async function writeDraft(path: string, content: string): Promise<string> {
  const draft = `${path}.${randomUUID()}`;
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  return draft;
}

/** Null when there is none. */
export async function readPrivateFile(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
