import { readFileSync } from "node:fs";
import { parseMountinfo, plainPath } from "../process/mountinfo.ts";

/**
 * The lower folder of the overlay that is mounted at `mountPoint`, as the mount's options name it: null where nothing
 * or something else is mounted there, where it has several lower folders, and where the name cannot be told for sure.
 * It is relative when whoever mounted it named it so. `mountinfo` is the text of `/proc/PID/mountinfo`
 * (proc_pid_mountinfo(5)).
 */
export function overlayLowerFolder(
  mountPoint: string,
  mountinfo: string = readFileSync("/proc/self/mountinfo", "utf8"),
): string | null {
  // Of mounts on one another the last is the one that is seen.
  const mount = parseMountinfo(mountinfo).findLast((one) => one.mountPoint === mountPoint);
  if (mount?.type !== "overlay" || mount.root !== "/") return null;
  const lower = mount.options.split(",").filter((option) => /^lowerdir\+?=/.test(option));
  const name = lower.length === 1 ? plainPath(lower[0]!.slice(lower[0]!.indexOf("=") + 1)) : "";
  // A colon separates folders, a backslash precedes one (or a comma) that does not.
  return name === "" || /[:\\]/.test(name) ? null : name;
}
