import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { errorCode, PimsError } from "./errors.ts";

/**
 * Lets one process at a time have a folder. The lock is a listening abstract socket (unix(7)) named after the folder's
 * inode: the kernel takes it back when the process ends, however it ends. Throws PimsError `code`, whose sentence says
 * that another process `does` in the folder.
 */
export async function lockFolder(folder: string, code: string, does: string): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(folder, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(inUse(folder, code, does, error)));
    server.listen({ path: `\0pims-folder-${dev}-${ino}` }, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => void server.close(() => resolve()));
}

function inUse(folder: string, code: string, does: string, error: Error): Error {
  if (errorCode(error) !== "EADDRINUSE") return error;
  return new PimsError(code, `another process ${does} in ${folder}`, {
    hint: "stop that one first, or give another folder",
    cause: error,
  });
}
