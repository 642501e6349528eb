import { stat } from "node:fs/promises";
import { lockName } from "./lock.ts";

/**
 * Lets one process at a time have a folder, by its inode. Throws PimsError `code`, whose sentence says that another process
 * `does` in the folder.
 */
export async function lockFolder(folder: string, code: string, does: string): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(folder, { bigint: true });
  return lockName(`folder-${dev}-${ino}`, {
    code,
    text: `another process ${does} in ${folder}`,
    hint: "stop that one first, or give another folder",
  });
}
