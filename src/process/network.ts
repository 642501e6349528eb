import { readdirSync, readlinkSync } from "node:fs";
import { isGone } from "./address-space.ts";

/** Where one process shows its network namespace. */
export interface NetworkView {
  /** `net:[4026531840]`: the same for all processes in it. */
  readonly network: string;
  /** Folder of the process, or of a living thread where its first one has exited, whose `net` and `fd` can be read. */
  readonly folder: string;
}

const MAX_THREADS = 64;

/** The network namespace that a process lives in, null when it has gone. Another thread of it may live in another. */
export function readNetwork(pid: number): NetworkView | null {
  const folder = `/proc/${pid}`;
  const network = readLink(`${folder}/ns/net`);
  if (network !== null) return { network, folder };
  try {
    for (const thread of readdirSync(`${folder}/task`).slice(0, MAX_THREADS)) {
      const other = `${folder}/task/${thread}`;
      const network = readLink(`${other}/ns/net`);
      if (network !== null) return { network, folder: other };
    }
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  return null;
}

/** Whether what was read through this view was its namespace's. */
export function isStillThere({ network, folder }: NetworkView): boolean {
  return readLink(`${folder}/ns/net`) === network;
}

/** Where a link in /proc leads, null when its process has gone. */
export function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}
