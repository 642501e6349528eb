import { lstat, mkdtemp, readdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { PimsError } from "../core/errors.ts";
import { isAbandoned, ownerMark } from "./owner.ts";
import { runTool } from "./run-tool.ts";

const prefix = "pims-demo-";
/** OVERLAYFS_SUPER_MAGIC of statfs(2). */
const overlayMagic = 0x794c7630;

/** A folder for one run of the demo, on a file system that an overlay can have as its upper layer, marked with its owner. */
export async function makeRunFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), prefix));
  // An overlay cannot lie on an overlay, which is what /tmp is inside a container.
  if ((await statfs(folder)).type === overlayMagic) {
    await runTool("mount", ["-t", "tmpfs", "-o", "mode=700", "pims-demo", folder]);
  }
  await writeFile(join(folder, "owner"), ownerMark(basename(folder)));
  return folder;
}

/** Folders that killed runs left. Only ones that nobody else can have made or written to: deleting goes by what they hold. */
export async function abandonedRunFolders(): Promise<string[]> {
  const abandoned: string[] = [];
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(tmpdir(), name);
    const status = await lstat(folder).catch(() => null);
    if (!status?.isDirectory() || status.uid !== process.geteuid?.() || (status.mode & 0o077) !== 0) continue;
    const mark = await readFile(join(folder, "owner"), "utf8").catch(() => "");
    const unmarked = mark === "" && Date.now() - status.mtimeMs > 60_000;
    if (unmarked || isAbandoned(mark)) abandoned.push(folder);
  }
  return abandoned;
}

/** Unmounts everything at and below `folder`, innermost first, then deletes it; deletes nothing while a mount is left. */
export async function removeTree(folder: string): Promise<void> {
  for (const mountPoint of (await mountsBelow(folder)).reverse()) {
    await runTool("umount", [mountPoint]).catch(() => runTool("umount", ["--lazy", mountPoint]));
  }
  const left = await mountsBelow(folder);
  if (left.length > 0)
    throw new PimsError("still-mounted", `${left[0]} is still mounted`, { hint: `umount ${left[0]}` });
  await rm(folder, { recursive: true, force: true });
}

async function mountsBelow(folder: string): Promise<string[]> {
  const mountPoints = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  return mountPoints.filter((path) => path === folder || path.startsWith(`${folder}/`));
}
