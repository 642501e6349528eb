// Says what tests left behind, ends it, and fails if there was anything: processes with the run's mark in their
// environment, containers and mounts below its temporary folder, files in it. The folder itself goes, too.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";

const folder = process.argv[2]!;
const found: string[] = [];

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // Gone meanwhile, or a thread of the kernel.
    return "";
  }
}

function run(program: string, ...args: string[]): void {
  try {
    execFileSync(program, args, { stdio: ["ignore", "ignore", "pipe"], timeout: 30_000 });
  } catch (error) {
    found.push(`${program} ${args.join(" ")} did not succeed: ${error instanceof Error ? error.message : error}`);
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Whatever descends from this process and from its parents is the tests' own way of running. */
function ancestors(): Set<number> {
  const own = new Set<number>();
  for (let pid = process.pid; pid > 1 && !own.has(pid); ) {
    own.add(pid);
    pid = Number(/^PPid:\s*(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  }
  return own;
}

/** Containers of runc whose bundle lies in the folder: their processes carry no mark. */
function containers(): void {
  for (const id of list("/run/runc")) {
    if (!read(join("/run/runc", id, "state.json")).includes(`"bundle=${folder}/`)) continue;
    found.push(`container ${id} of runc`);
    // SIGKILL waits while a cgroup is frozen; a container that is not frozen refuses.
    try {
      execFileSync("runc", ["resume", id], { stdio: "ignore" });
    } catch {}
    run("runc", "delete", "--force", id);
  }
}

/** By mark, or by a root that is mounted from the folder: containers of a Docker Engine that a test started. */
function processes(): number {
  const spared = ancestors();
  let count = 0;
  for (const name of list("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || spared.has(pid)) continue;
    const marked = read(`/proc/${pid}/environ`).split("\0").includes(`PIMS_TEST_RUN=${folder}`);
    const root = read(`/proc/${pid}/mountinfo`)
      .split("\n")
      .find((line) => line.split(" ")[4] === "/");
    if (!marked && !root?.includes(`${folder}/`)) continue;
    const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim() || read(`/proc/${pid}/comm`).trim();
    if (command === "") continue;
    found.push(`process ${pid}: ${command.slice(0, 200)}`);
    thaw(pid);
    try {
      process.kill(pid, "SIGKILL");
    } catch {}
    count++;
  }
  return count;
}

function thaw(pid: number): void {
  const frozen = /^\d+:freezer:(\/.+)$/m.exec(read(`/proc/${pid}/cgroup`))?.[1];
  const unified = /^0::(\/.+)$/m.exec(read(`/proc/${pid}/cgroup`))?.[1];
  for (const [path, state] of [
    [frozen && `/sys/fs/cgroup/freezer${frozen}/freezer.state`, "THAWED"],
    [unified && `/sys/fs/cgroup${unified}/cgroup.freeze`, "0"],
  ]) {
    try {
      if (path && state) execFileSync("sh", ["-c", 'echo "$1" > "$2"', "thaw", state, path], { stdio: "ignore" });
    } catch {}
  }
}

function mounts(): void {
  const points = read("/proc/self/mountinfo")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  for (const point of points.filter((path) => path.startsWith(`${folder}/`)).reverse()) {
    found.push(`mount ${point}`);
    run("umount", "--lazy", point);
  }
}

// Only a folder that scripts/test made: everything in it is deleted.
if (!/^pims-\w{6}$/.test(basename(folder)) || !folder.startsWith("/")) throw new Error(`not a test folder: ${folder}`);
containers();
// What is killed may have had children that start something yet.
for (let round = 0; round < 5 && processes() > 0; round++) execFileSync("sleep", ["0.3"]);
mounts();
for (const name of list(folder)) found.push(`in the temporary folder: ${name}`);
// Never through a mount that is still there.
if (!read("/proc/self/mountinfo").includes(` ${folder}/`))
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });

for (const line of found) console.error(`pims test: left behind: ${line}`);
if (found.length > 0)
  console.error(`pims test: the tests left ${found.length} things behind, which counts as a failure`);
process.exit(found.length === 0 ? 0 : 1);
