import { mkdir, readdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { PimsError } from "../core/errors.ts";
import { runTool } from "./run-tool.ts";

/** A package of this machine's Debian release, `name=version`. */
type Pinned = string;

const networkMs = 10 * 60_000;

/**
 * What an empty system would need for `packages`, by apt's own resolver with an empty dpkg status. Package lists are
 * fetched when the ones there do not know the packages.
 */
export async function resolvePackages(packages: readonly string[]): Promise<Pinned[]> {
  try {
    return await simulate(packages);
  } catch (error) {
    if (error instanceof PimsError && error.code === "tool-missing") throw error;
    await runTool("apt-get", ["update", "-q"], { timeoutMs: networkMs });
    return await simulate(packages);
  }
}

async function simulate(packages: readonly string[]): Promise<Pinned[]> {
  const empty = ["-o", "Dir::State::status=/dev/null"];
  const plan = await runTool("apt-get", [...empty, "install", "--simulate", "--no-install-recommends", ...packages]);
  // "Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64])"
  const pinned = [...plan.matchAll(/^Inst (\S+) \((\S+) /gm)].map(([, name, version]) => `${name}=${version}`);
  if (pinned.length === 0) throw new PimsError("packages-unresolved", "apt-get planned to install nothing");
  return pinned;
}

/** Downloads (apt checks signatures and digests) and unpacks the packages into `folder`, which becomes a merged-/usr tree. */
export async function unpackPackages(packages: readonly Pinned[], folder: string): Promise<void> {
  const downloads = `${folder}.packages`;
  await mkdir(downloads, { recursive: true });
  // Without the option apt complains that its own user cannot write here.
  const asRoot = ["-o", "APT::Sandbox::User=root"];
  await runTool("apt-get", [...asRoot, "download", "-q", ...packages], { cwd: downloads, timeoutMs: networkMs });
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    await mkdir(join(folder, "usr", name), { recursive: true });
    await symlink(`usr/${name}`, join(folder, name));
  }
  for (const file of (await readdir(downloads)).sort()) {
    // Debian 12's packages still bring /bin and /lib as folders; tar must go through our links, not replace them.
    const script = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"';
    await runTool("bash", ["-o", "pipefail", "-c", script, "unpack", join(downloads, file), folder]);
  }
  for (const ballast of ["doc", "man", "locale", "info", "lintian"]) {
    await rm(join(folder, "usr/share", ballast), { recursive: true, force: true });
  }
  await rm(downloads, { recursive: true });
}
