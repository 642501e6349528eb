import { closeSync, constants, openSync, readlinkSync } from "node:fs";
import { open, readlink } from "node:fs/promises";
import { withDeadline } from "../core/deadline.ts";
import { errorCode } from "../core/errors.ts";
import { openCachedInRoot } from "../kernel/openat2.ts";
import type { Method } from "./address-space.ts";

/** Holds on to a file without opening it, so that none is waited for. */
const O_PATH = 0o10000000;
const DEADLINE_MS = 5000;
/** Names on the way, those in links counted too. */
const MAX_STEPS = 512;

/**
 * Holds on (O_PATH) to the file that a process means by `path`, one character a byte: from its working folder, with its
 * root as `/`, and never outside of it, whatever links are on the way. Null where there is none. The names of its
 * descriptors, `/dev/fd/3` and the like, lead to what those hold. Throws system errors, ENOENT when the process has gone,
 * and PimsError `coverage-incomplete` when the file system does not answer.
 */
export async function holdInRoot(pid: number, path: string, method: Method = "auto"): Promise<number | null> {
  const descriptor = /^\/(?:dev|proc\/(?:thread-)?self)\/fd\/(\d+)$/.exec(path)?.[1] ?? STANDARD[path];
  if (descriptor !== undefined) return unlessAbsent(() => openSync(`/proc/${pid}/fd/${descriptor}`, O_PATH));
  if (path.includes("\0")) return null;
  const root = openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY);
  let held: number | null | "unknown" = null;
  try {
    const whole = path.startsWith("/") ? path : `${workingFolder(pid)}/${path}`;
    held = method === "fallback" ? "unknown" : openCachedInRoot(root, Buffer.from(whole, "latin1"));
    if (held === "unknown") held = await withDeadline(`a file of process ${pid}`, DEADLINE_MS, () => walk(root, whole));
    return held;
  } finally {
    closeSync(root);
  }
}

const STANDARD: Readonly<Record<string, string>> = { "/dev/stdin": "0" };

/** As the process itself would name it: below its own root. */
function workingFolder(pid: number): string {
  const [root, folder] = [readlinkSync(`/proc/${pid}/root`, "latin1"), readlinkSync(`/proc/${pid}/cwd`, "latin1")];
  return root !== "/" && folder.startsWith(root) ? folder.slice(root.length) : folder;
}

/** Step by step, through descriptors, so that no link is followed by the kernel with this process's own root. */
async function walk(root: number, path: string): Promise<number | null> {
  const trail = [await open(`/proc/self/fd/${root}/.`, O_PATH)];
  const todo = parts(path);
  try {
    for (let steps = 0; todo.length > 0; steps++) {
      if (steps > MAX_STEPS) return null;
      const name = todo.pop()!;
      if (name === "..") {
        if (trail.length > 1) await trail.pop()!.close();
        continue;
      }
      const at = Buffer.from(`/proc/self/fd/${trail.at(-1)!.fd}/${name}`, "latin1");
      const next = await open(at, O_PATH | constants.O_NOFOLLOW);
      trail.push(next);
      const stats = await next.stat();
      if (stats.isSymbolicLink()) {
        await trail.pop()!.close();
        const target = await readlink(at, "latin1");
        if (target.startsWith("/")) for (const folder of trail.splice(1)) await folder.close();
        todo.push(...parts(target));
      } else if (todo.length > 0 && !stats.isDirectory()) return null;
    }
    // A descriptor of the caller's own, since closing the handles is what they are for.
    return openSync(`/proc/self/fd/${trail.at(-1)!.fd}`, O_PATH);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG"].includes(errorCode(error) ?? "")) return null;
    throw error;
  } finally {
    for (const folder of trail) await folder.close();
  }
}

/** In the order of taking them from the end. */
function parts(path: string): string[] {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .reverse();
}

function unlessAbsent(attempt: () => number): number | null {
  try {
    return attempt();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
