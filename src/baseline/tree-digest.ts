import { type JsonText, toJsonText } from "../core/bytes.ts";
import { sha256Stream } from "../core/digest.ts";

export type FileType = "file" | "directory" | "link" | "fifo" | "socket" | "character-device" | "block-device";

/** A name in a root file system: everything about it that is the image's and not the machine's. */
export interface TreeFile {
  /** Inside the image, absolute. */
  readonly path: Uint8Array;
  readonly type: FileType;
  /** Permission bits with set-user-id, set-group-id and sticky. */
  readonly mode: number;
  /** Of a regular file, in bytes. */
  readonly size?: bigint;
  /** Of a regular file's content. */
  readonly sha256?: string;
  /** Of a symbolic link. */
  readonly target?: Uint8Array;
  /** Of a device. */
  readonly device?: { readonly major: number; readonly minor: number };
}

/**
 * The identity of an image that has no configuration to take a digest of: `sha256:` and the SHA-256 over lines of JSON,
 * each ended by a newline. The first is `{"format":"pims.tree/v1"}`; then one for each file in rising order of path
 * bytes, members in this order, those left out that its type does not have, no spaces:
 *
 *     {"path":"/bin/ls","type":"file","mode":"0755","size":"147176","sha256":"…"}
 *     {"path":"/bin/sh","type":"link","mode":"0777","target":"dash"}
 *     {"path":"/dev/null","type":"character-device","mode":"0666","device":"1:3"}
 *
 * The root folder itself, times, owners, inode numbers and extended attributes are not part of it, so that the same tree
 * unpacked on another machine, by another user, has the same identity. `files` come in that order.
 */
export function treeDigest(files: Iterable<TreeFile>): string {
  const hash = sha256Stream();
  hash.update(Buffer.from('{"format":"pims.tree/v1"}\n'));
  for (const file of files) hash.update(Buffer.from(`${treeLine(file)}\n`, "utf8"));
  return `sha256:${hash.hex()}`;
}

function treeLine({ path, type, mode, size, sha256, target, device }: TreeFile): string {
  const line: Record<string, JsonText> = {
    path: toJsonText(path),
    type,
    mode: mode.toString(8).padStart(4, "0"),
  };
  if (size !== undefined) line.size = size.toString();
  if (sha256 !== undefined) line.sha256 = sha256;
  if (target !== undefined) line.target = toJsonText(target);
  if (device !== undefined) line.device = `${device.major}:${device.minor}`;
  return JSON.stringify(line);
}
