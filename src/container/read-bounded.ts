import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";

/** A regular file of at most `limit` bytes, null when there is none. Throws `container-state` for anything else. */
export async function readBounded(path: string, limit: number): Promise<Uint8Array | null> {
  // Not through a link, and without waiting should it be a pipe.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return null;
    throw new PimsError("container-state", `${path} cannot be read (${errorCode(error)})`, { cause: error });
  });
  if (file === null) return null;
  try {
    if (!(await file.stat()).isFile()) throw new PimsError("container-state", `${path} is not a regular file`);
    const buffer = new Uint8Array(limit + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) return buffer.subarray(0, length);
      length += bytesRead;
    }
    throw new PimsError("container-state", `${path} is larger than ${limit} bytes`);
  } finally {
    await file.close();
  }
}
