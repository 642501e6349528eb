/** One mount in the text of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)). */
export interface Mount {
  /** Unique on the host while the mount exists; `parent` is that of the mount that it lies on. */
  readonly id: number;
  readonly parent: number;
  /** `major:minor` of the file system, and the path in it that is mounted. */
  readonly device: string;
  readonly root: string;
  readonly mountPoint: string;
  /** Whether it can be written through: neither mount nor file system is read-only. */
  readonly writable: boolean;
  /** Such as `overlay`. */
  readonly type: string;
  /** The file system's own, separated by commas, with the kernel's octal escapes. */
  readonly options: string;
}

/** Lines of another form are left out: the kernel writes none, and a text that was cut ends with half of one. */
export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    const [own, rest] = line.split(" - ");
    const [id, parent, device, root, mountPoint, options] = own?.split(" ") ?? [];
    const [type, , superOptions] = rest?.split(" ") ?? [];
    if (options === undefined || superOptions === undefined) continue;
    const writable = ![options, superOptions].some((text) => text.split(",")[0] === "ro");
    mounts.push({
      id: Number(id),
      parent: Number(parent),
      device: device!,
      root: plainPath(root!),
      mountPoint: plainPath(mountPoint!),
      writable,
      type: type!,
      options: superOptions,
    });
  }
  return mounts;
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
export function plainPath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** What of a path lies below a folder: `""` for the folder itself, else with a leading slash; null when it is not below. */
export function below(folder: string, path: string): string | null {
  if (folder === "/") return path === "/" ? "" : path;
  if (path === folder) return "";
  return path.startsWith(`${folder}/`) ? path.slice(folder.length) : null;
}
