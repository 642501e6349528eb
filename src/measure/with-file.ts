import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { answering } from "./answering.ts";

/** Opens a file on the file system `device` to read it, and closes it afterwards. Errors as answering, and the system's. */
export async function withFile<T>(path: string, device: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
  let late = false;
  const opening = answering(device, async () => {
    // O_NONBLOCK: opening a fifo must not wait for its writer.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    // Nobody waits for it any more.
    if (late) close(handle);
    return handle;
  });
  const handle = await opening.catch((error: unknown) => {
    late = true;
    throw error;
  });
  try {
    return await work(handle);
  } finally {
    close(handle);
  }
}

/** Not waited for: a file system that does not answer may not answer to this either. */
function close(handle: FileHandle): void {
  handle.close().catch(() => {});
}
