import { createReadStream } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { NOT_RELEASED, type ReleaseManifest } from "../attest/release-manifest.ts";
import { sha256Stream } from "../core/digest.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";

/** Programs that start and keep containers, where distributions put them. */
const PROGRAMS = [
  ...["runc", "crun", "containerd", "containerd-shim-runc-v2", "ctr", "dockerd", "docker-proxy", "docker-init"],
  ...["podman", "conmon", "crio"],
];
const FOLDERS = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/libexec/podman"];

type ReleasedFile = ReleaseManifest["runtime"]["files"][number];

/**
 * The manifest of what is in a folder and of the runtime's programs, as they are on this machine now. Paths are those that
 * the kernel names a file by, without symbolic links. Throws `release-invalid` for a path that is not there.
 */
export async function makeReleaseManifest(options: {
  readonly folder: string;
  /** Where the folder is on the hosts, if it is elsewhere there. */
  readonly installedAt?: string | undefined;
  /** Programs of the container runtime; without it those that are found. */
  readonly runtime?: readonly string[] | undefined;
}): Promise<ReleaseManifest> {
  const folder = await realPath(options.folder);
  const installedAt = options.installedAt ?? folder;
  const files: ReleasedFile[] = [];
  for (const name of (await filesBelow(folder)).sort())
    files.push({ path: `${installedAt}/${name}`, sha256: await hashFile(join(folder, name)) });
  if (!process.execPath.startsWith(`${folder}/`)) {
    const node = await realPath(process.execPath);
    files.push({ path: node, sha256: await hashFile(node) });
  }
  const runtime = await Promise.all(
    (options.runtime ?? (await installedPrograms())).map(async (path) => {
      const program = await realPath(path);
      return { path: program, sha256: await hashFile(program) };
    }),
  );
  const agent = { folders: [installedAt], files };
  return { schema: "pims.release/v1", version: VERSION, agent, runtime: { files: runtime } };
}

async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
      const name = join(below, entry.name);
      if (NOT_RELEASED.includes(name)) continue;
      if (entry.isDirectory()) await visit(name);
      // What a symbolic link leads to is listed where it is.
      else if (entry.isFile()) found.push(name);
    }
  };
  await visit("");
  return found;
}

async function installedPrograms(): Promise<string[]> {
  const paths = FOLDERS.flatMap((folder) => PROGRAMS.map((name) => join(folder, name)));
  const there = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        (found) => found.isFile(),
        () => false,
      ),
    ),
  );
  // /usr/sbin may be /usr/bin by another name.
  return [...new Set(await Promise.all(paths.filter((_, index) => there[index]).map((path) => realpath(path))))];
}

async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw new PimsError("release-invalid", `${path} cannot be released (${errorCode(error)})`);
  }
}

async function hashFile(path: string): Promise<string> {
  const digest = sha256Stream();
  for await (const part of createReadStream(path)) digest.update(part as Uint8Array);
  return digest.hex();
}
