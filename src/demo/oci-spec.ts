/** What of a container differs from one to the next. */
export interface SpecOptions {
  readonly id: string;
  readonly args: readonly string[];
  readonly rootfs: string;
  readonly volume: string;
  readonly binds?: Readonly<Record<string, string>> | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What Docker, too, leaves to root inside a container. */
const capabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_NET_BIND_SERVICE",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
];

const plain = ["nosuid", "noexec", "nodev"];

/** The config.json of an OCI bundle (OCI runtime specification 1.0, config.md and config-linux.md). */
export function ociSpec(options: SpecOptions): object {
  return {
    ociVersion: "1.0.2",
    hostname: options.id.slice(0, 63),
    annotations: options.annotations,
    root: { path: options.rootfs, readonly: false },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: options.args,
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: plain },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=64k"],
      },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...plain, "mode=1777", "size=16m"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: [...plain, "ro"] },
      { destination: "/run/web", type: "bind", source: options.volume, options: ["bind", "rw", "nosuid", "nodev"] },
      ...Object.entries(options.binds ?? {}).map(([destination, source]) => {
        return { destination, type: "bind", source, options: ["bind", "rw", "nosuid", "nodev"] };
      }),
    ],
    linux: {
      cgroupsPath: `/runc/${options.id}`,
      resources: { devices: [{ allow: false, access: "rwm" }], pids: { limit: 256 } },
      namespaces: ["pid", "mount", "network", "ipc", "uts"].map((type) => ({ type })),
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}
