import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";
import { type ArchiveOptions, buildFromDockerArchive } from "./docker-archive.ts";
import type { Baseline } from "./lines.ts";

export { type ArchiveOptions, buildFromDockerArchive } from "./docker-archive.ts";
export { buildFromFolder, type FolderSource } from "./folder.ts";

/** `buildFromDockerArchive` of a file. Throws `image-unreadable` also where there is no such file. */
export async function buildFromArchiveFile(path: string, options: ArchiveOptions = {}): Promise<Baseline> {
  const stats = await stat(path).catch((cause: unknown) => {
    const why = errorCode(cause) === "ENOENT" ? "does not exist" : `cannot be read (${errorCode(cause)})`;
    throw new PimsError("image-unreadable", `${path} ${why}`, { cause });
  });
  if (stats.isDirectory()) {
    throw new PimsError("image-unreadable", `${path} is a folder and no archive`, {
      hint: "a root file system in a folder is read as one",
    });
  }
  return buildFromDockerArchive(createReadStream(path, { highWaterMark: 1024 * 1024 }), options);
}
