import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { errorCode, PimsError } from "../core/errors.ts";

/**
 * Lets one process at a time have a folder. The lock is a listening abstract socket (unix(7)) named after the folder's
 * inode: the kernel takes it back when the process ends, however it ends. Throws `ledger-in-use`.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(folder, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(inUse(folder, error)));
    server.listen({ path: `\0pims-ledger-${dev}-${ino}` }, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => void server.close(() => resolve()));
}

function inUse(folder: string, error: Error): Error {
  if (errorCode(error) !== "EADDRINUSE") return error;
  return new PimsError("ledger-in-use", `another process runs the chain in ${folder}`, {
    hint: "stop that one first, or give another folder",
    cause: error,
  });
}
