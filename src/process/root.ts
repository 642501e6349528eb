import { PimsError } from "../core/errors.ts";

/** Throws `not-root` unless this process may read other processes' memory maps. */
export function requireRoot(what: string): void {
  if (process.geteuid?.() !== 0)
    throw new PimsError("not-root", `${what} must run as root, since it looks into other processes`, {
      hint: "run it again with sudo",
    });
}
