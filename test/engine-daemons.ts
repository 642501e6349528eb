import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { toolPath } from "../src/demo/run-tool.ts";

const STOP_MS = 15_000;

/** Starts a daemon whose output goes to a file of its own in `folder`, which also takes its temporary files. */
export async function startDaemon(folder: string, program: string, args: readonly string[]): Promise<ChildProcess> {
  const log = await open(join(folder, `${program}.log`), "a");
  try {
    // TMPDIR: what the engine unpacks on the way belongs to the folder as well.
    const env = { ...process.env, PATH: toolPath, TMPDIR: folder };
    const child = spawn(program, args, { stdio: ["ignore", log.fd, log.fd], env });
    await once(child, "spawn");
    return child;
  } finally {
    await log.close();
  }
}

/** Ends a daemon in order, and by force when it does not. */
export async function stopDaemon(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const hard = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exit;
  clearTimeout(hard);
}

/** A containerd with all its state in `folder`. It may not answer yet. */
export function startContainerd(folder: string, socket: string): Promise<ChildProcess> {
  const at = (name: string): string => join(folder, name);
  const places = ["--root", at("containerd"), "--state", at("cs"), "--address", socket];
  return startDaemon(folder, "containerd", ["--config", "/dev/null", ...places]);
}

/** What daemons said last. */
export async function lastLines(folder: string, programs: readonly string[]): Promise<string> {
  const logs = await Promise.all(programs.map((name) => readFile(join(folder, `${name}.log`), "utf8")));
  return logs.map((text) => text.split("\n").slice(-8).join("\n")).join("\n");
}
