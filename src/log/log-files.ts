import { link, open, rename, rm, stat } from "node:fs/promises";
import { errorCode, PimsError } from "../core/errors.ts";

/** A file that records are appended to. */
export interface LogFile {
  append(bytes: string | Uint8Array): Promise<void>;
  /** What was written is on the disk afterwards. */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** Everything that the log does to the disk: a test puts its faults in between. Throws `log-unwritable`. */
export interface LogFiles {
  /** Opens for appending, and makes the file where there is none. */
  open(path: string): Promise<LogFile>;
  /** A new file with this content, on the disk afterwards, whatever was at its path before. */
  write(path: string, text: string): Promise<void>;
  /** A second name for a file; nothing happens where the file has it already. */
  link(path: string, name: string): Promise<void>;
  /** Takes the place of what is called `name`, at one instant. */
  rename(path: string, name: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Names in the folder are on the disk afterwards. */
  syncFolder(folder: string): Promise<void>;
}

export const diskFiles: LogFiles = {
  open: async (path) => openFile(path, "a"),
  async write(path, text) {
    const file = await openFile(path, "w");
    try {
      await file.append(text);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  link: (path, name) =>
    writing(name, async () => {
      try {
        await link(path, name);
      } catch (error) {
        if (errorCode(error) !== "EEXIST" || !(await isSameFile(path, name))) throw error;
      }
    }),
  rename: (path, name) => writing(name, () => rename(path, name)),
  remove: (path) => writing(path, () => rm(path, { force: true })),
  syncFolder: (folder) =>
    writing(folder, async () => {
      const handle = await open(folder, "r");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }),
};

async function openFile(path: string, flags: "a" | "w"): Promise<LogFile> {
  const handle = await writing(path, () => open(path, flags, 0o600));
  return {
    append: (bytes) => writing(path, () => handle.appendFile(bytes)),
    sync: () => writing(path, () => handle.datasync()),
    truncate: (bytes) => writing(path, () => handle.truncate(bytes)),
    close: () => handle.close(),
  };
}

async function isSameFile(path: string, name: string): Promise<boolean> {
  const [a, b] = await Promise.all([path, name].map((one) => stat(one, { bigint: true })));
  return a!.dev === b!.dev && a!.ino === b!.ino;
}

async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new PimsError("log-unwritable", `the log ${path} cannot be written (${errorCode(cause) ?? cause})`, {
      hint: "make room on the disk, or mend it, and start the agent again: it goes on where the log ends",
      cause,
    });
  }
}
