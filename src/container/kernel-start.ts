import { closeSync, constants, openSync, readFileSync, readlinkSync, readSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { errorCode } from "../core/errors.ts";
import { capabilityNames } from "../process/capabilities.ts";
import { below, type Mount, parseMountinfo } from "../process/mountinfo.ts";

export const NAMESPACES = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup"] as const;
export type Namespace = (typeof NAMESPACES)[number];

/** A folder or file of the host that a container has. */
export interface HostMount {
  /** Its path on the host. */
  readonly source: string;
  readonly destination: string;
  readonly rw: boolean;
}

/** How a container was started, as the kernel shows it in the container's first process. No runtime is asked. */
export interface KernelStart {
  /** The bounding set: what any process of the container can come to have. */
  readonly capabilities: readonly string[];
  /** Whether the bounding set is as large as that of the host's first process. */
  readonly allCapabilities: boolean;
  /** Namespaces that the container shares with the host. */
  readonly hostNamespaces: readonly Namespace[];
  readonly seccomp: "none" | "strict" | "filter";
  /** The security module's label, such as AppArmor's profile; null where there is none. */
  readonly label: string | null;
  /** `uid:gid`, in the host's numbers. */
  readonly user: string;
  readonly readonlyRoot: boolean;
  /** Those that lay open most come first. */
  readonly mounts: readonly HostMount[];
  /** Sockets of container runtimes that it can reach: where on the host, and where in the container. */
  readonly runtimeSockets: readonly HostMount[];
}

const MAX_MOUNTINFO = 1024 * 1024;
const SOCKETS = ["docker.sock", "containerd/containerd.sock", "crio/crio.sock", "podman/podman.sock"];
/** File systems that show the kernel's own state: mounted anew in each container, and not a folder of the host. */
const KERNEL_TYPES = new Set(["proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "devtmpfs", "bpf", "nsfs"]);

/**
 * Reads it from the container's first process; compared is with process 1, which is the host's also when this one has a
 * mount namespace of its own. `moreSockets`: paths of the host besides the usual ones. Throws a system error when the
 * process is gone.
 */
export function readKernelStart(pid: number, moreSockets: readonly string[] = []): KernelStart {
  const [status, host] = [readFileSync(`/proc/${pid}/status`, "latin1"), readFileSync("/proc/1/status", "latin1")];
  const bounding = field(status, "CapBnd");
  const inside = parseMountinfo(readMountinfo(pid));
  const outside = parseMountinfo(readMountinfo(1));
  return {
    capabilities: capabilityNames(bounding),
    allCapabilities: (BigInt(`0x${field(host, "CapBnd")}`) & ~BigInt(`0x${bounding}`)) === 0n,
    hostNamespaces: NAMESPACES.filter((name) => namespaceOf(pid, name) === hostNamespace(name)),
    seccomp: (["none", "strict", "filter"] as const)[Number(field(status, "Seccomp"))] ?? "none",
    label: readLabel(pid),
    user: `${field(status, "Uid").split("\t")[0]}:${field(status, "Gid").split("\t")[0]}`,
    readonlyRoot: inside.findLast(({ mountPoint }) => mountPoint === "/")?.writable === false,
    mounts: hostMounts(inside, outside),
    runtimeSockets: exposed(inside, outside, [...socketPaths(), ...moreSockets]),
  };
}

/** The kernel's name of a namespace of a process, such as `mnt:[4026531832]`. */
export function namespaceOf(pid: number, name: Namespace): string {
  return readlinkSync(`/proc/${pid}/ns/${name}`);
}

/**
 * The host's: that of process 1, since this one may have a mount namespace of its own. Where process 1 has more
 * capabilities than this one and may not be looked at, this one's own must do.
 */
export function hostNamespace(name: Namespace): string {
  try {
    return namespaceOf(1, name);
  } catch (error) {
    if (errorCode(error) !== "EACCES") throw error;
    return readlinkSync(`/proc/self/ns/${name}`);
  }
}

function field(status: string, name: string): string {
  return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
}

/** A container with the right to mount can make its table as long as the kernel lets it. */
function readMountinfo(pid: number): string {
  const fd = openSync(`/proc/${pid}/mountinfo`, constants.O_RDONLY);
  try {
    const buffer = Buffer.alloc(MAX_MOUNTINFO);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(fd, buffer, length, buffer.length - length, null);
    return buffer.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}

function readLabel(pid: number): string | null {
  try {
    const label = readFileSync(`/proc/${pid}/attr/current`, "utf8").replace(/[\0\n]+$/, "");
    return label === "" ? null : label;
  } catch (error) {
    // Where no security module has a label to give.
    if (["EINVAL", "ENOENT", "EACCES"].includes(errorCode(error) ?? "")) return null;
    throw error;
  }
}

/** What of the host's tree each mount shows. A file system that the host has mounted nowhere is the container's alone. */
function hostMounts(inside: readonly Mount[], outside: readonly Mount[]): HostMount[] {
  const found: HostMount[] = [];
  for (const { device, root, mountPoint, writable, type } of inside) {
    if (KERNEL_TYPES.has(type)) continue;
    const sources: string[] = [];
    for (const host of outside) {
      const rest = host.device === device ? below(host.root, root) : null;
      if (rest !== null) sources.push(join(host.mountPoint, rest));
    }
    const [source] = sources.sort((a, b) => a.length - b.length);
    if (source !== undefined) found.push({ source, destination: mountPoint, rw: writable });
  }
  return found.sort((a, b) => a.source.length - b.source.length);
}

/** Where in the container a file of the host can be reached, by file system and path in it: names and links say nothing. */
function exposed(inside: readonly Mount[], outside: readonly Mount[], paths: readonly string[]): HostMount[] {
  const found: HostMount[] = [];
  for (const path of new Set(paths.filter(isSocket))) {
    const holder = outside
      .filter(({ mountPoint }) => below(mountPoint, path) !== null)
      .reduce<Mount | undefined>(
        (best, mount) => (mount.mountPoint.length >= (best?.mountPoint.length ?? 0) ? mount : best),
        undefined,
      );
    if (holder === undefined) continue;
    const inFileSystem = join(holder.root, below(holder.mountPoint, path)!);
    for (const { device, root, mountPoint, writable } of inside) {
      const rest = device === holder.device ? below(root, inFileSystem) : null;
      if (rest !== null) found.push({ source: path, destination: join(mountPoint, rest), rw: writable });
    }
  }
  return found;
}

/** The usual places, without the links that lead there. */
function socketPaths(): string[] {
  return ["/run", "/var/run"].flatMap((folder) => SOCKETS.map((name) => join(resolved(folder), name)));
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}
