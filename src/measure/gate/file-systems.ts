import { below, type Mount, plainPath } from "../../process/mountinfo.ts";

/** The kernel's own: there is no program on them. */
const WITHOUT_PROGRAMS = new Set(
  (
    "proc sysfs cgroup cgroup2 devpts mqueue securityfs debugfs tracefs bpf nsfs pstore configfs binfmt_misc " +
    "hugetlbfs rpc_pipefs fusectl selinuxfs efivarfs autofs"
  ).split(" "),
);

/**
 * Answered by this kernel from this machine's disks and memory. Any other, such as FUSE or NFS, may never answer: one
 * program on it would hold up the gate for all containers.
 */
const LOCAL = new Set(
  (
    "overlay ext2 ext3 ext4 xfs btrfs f2fs bcachefs zfs tmpfs ramfs devtmpfs squashfs erofs vfat exfat ntfs3 " +
    "iso9660 udf jfs nilfs2 reiserfs"
  ).split(" "),
);

/** What the gate makes of a mount: nothing to watch, one to watch, or one that it must not touch. */
export type MountKind = "empty" | "local" | "remote";

/**
 * By mount id. A mount below a remote one is remote: the way to it leads through that one. So is an overlay with a layer on
 * one, where its options say so: `host` is the host's table, whose paths those of layers are.
 */
export function mountKinds(mounts: readonly Mount[], host: readonly Mount[]): ReadonlyMap<number, MountKind> {
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  const hostById = host === mounts ? byId : new Map(host.map((mount) => [mount.id, mount]));
  // Of layers that are overlays themselves the first ones only are followed.
  const hostKind = (mount: Mount): MountKind => kindOf(mount, hostById, () => false);
  const isLayered = (mount: Mount): boolean =>
    layersOf(mount).some((layer) => {
      const at = mountAt(layer, host);
      return at !== undefined && hostKind(at) === "remote";
    });
  const kinds = new Map<number, MountKind>();
  for (const mount of mounts) kinds.set(mount.id, kindOf(mount, byId, isLayered));
  return kinds;
}

/** Absolute paths of an overlay's layers, which are as whoever mounted it saw them. */
function layersOf({ type, options }: Mount): string[] {
  if (type !== "overlay") return [];
  return options.split(",").flatMap((option) => {
    const value = /^(?:lowerdir|upperdir|lowerdir\+|datadir\+)=(.*)$/.exec(option)?.[1];
    const paths = value === undefined ? [] : plainPath(value).split(/(?<!\\):+/);
    return paths.filter((path) => path.startsWith("/")).map((path) => path.replace(/\\(.)/g, "$1"));
  });
}

/** The mount that a path leads to: of several at the longest place, the last one. */
function mountAt(path: string, mounts: readonly Mount[]): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts)
    if (below(mount.mountPoint, path) !== null && mount.mountPoint.length >= (found?.mountPoint.length ?? 0))
      found = mount;
  return found;
}

function kindOf(mount: Mount, byId: ReadonlyMap<number, Mount>, hasRemoteLayer: (mount: Mount) => boolean): MountKind {
  if (WITHOUT_PROGRAMS.has(mount.type)) return "empty";
  let at: Mount | undefined = mount;
  // The table is the kernel's and a tree; the bound only says so.
  for (let steps = 0; at !== undefined && steps < byId.size; steps++) {
    if (!LOCAL.has(at.type) && !WITHOUT_PROGRAMS.has(at.type)) return "remote";
    if (hasRemoteLayer(at)) return "remote";
    const parent = byId.get(at.parent);
    at = parent === at ? undefined : parent;
  }
  return "local";
}

const HOST_FOLDERS = new Set(
  "/ /usr /usr/local /bin /sbin /lib /lib64 /etc /opt /root /home /srv /var /var/lib /run /tmp /nix /boot".split(" "),
);

/** Devices that the host's own programs and data are on, by the host's table of mounts. */
export function hostDevices(mounts: readonly Mount[]): ReadonlySet<string> {
  return new Set(mounts.filter(({ mountPoint }) => HOST_FOLDERS.has(mountPoint)).map(({ device }) => device));
}
