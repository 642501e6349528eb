import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
} from "node:fs";

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = constants;

/**
 * An open folder whose files are reached through its descriptor, as openat(2) does: whoever renames folders or puts
 * links into the tree meanwhile cannot lead us out of it. Throws system errors.
 */
export interface OpenFolder {
  readonly stats: BigIntStats;
  names(): Buffer[];
  lstat(name: Uint8Array): BigIntStats;
  readlink(name: Uint8Array): Uint8Array;
  /** A descriptor; no link is followed and no other end waited for. */
  openFile(name: Uint8Array): number;
  openFolder(name: Uint8Array): OpenFolder;
  close(): void;
}

/** Opens a folder by its path. Links in the path itself are followed: it is the caller's own. */
export function openRoot(path: string): OpenFolder {
  return folder(openSync(path, O_RDONLY | O_DIRECTORY));
}

function folder(fd: number): OpenFolder {
  // Node has no openat; the kernel resolves this link to the open folder itself, wherever that is by now.
  const self = `/proc/self/fd/${fd}`;
  const child = (name: Uint8Array): Buffer => Buffer.concat([Buffer.from(`${self}/`), name]);
  return {
    stats: fstatSync(fd, { bigint: true }),
    names: () => readdirSync(self, { encoding: "buffer" }),
    lstat: (name) => lstatSync(child(name), { bigint: true }),
    readlink: (name) => readlinkSync(child(name), { encoding: "buffer" }),
    openFile: (name) => openSync(child(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
    openFolder: (name) => folder(openSync(child(name), O_RDONLY | O_NOFOLLOW | O_DIRECTORY)),
    close: () => closeSync(fd),
  };
}
