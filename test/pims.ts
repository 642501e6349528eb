import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export const PROGRAM = join(import.meta.dirname, "../bin/pims");

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `pims ARGS` to its end, by `wrapper` (such as `unshare --user`) when given. */
export function pims(
  args: readonly string[],
  options: { wrapper?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Ended {
  const [command, ...rest] = [...(options.wrapper ?? []), PROGRAM, ...args];
  const { status, stdout, stderr } = spawnSync(command!, rest, {
    encoding: "utf8",
    timeout: 60_000,
    killSignal: "SIGKILL",
    env: options.env ?? process.env,
    maxBuffer: 64 << 20,
  });
  return { status, stdout, stderr };
}

/** The same without stopping this process meanwhile, for tests whose own process serves something that `pims` asks. */
export async function pimsMeanwhile(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(PROGRAM, args, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
    killSignal: "SIGKILL",
    env: { ...process.env, ...env },
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [status] = (await once(child, "close")) as [number | null];
  return { status, stdout, stderr };
}

/** A folder that is gone after the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
