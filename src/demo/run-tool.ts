import { execFile } from "node:child_process";
import { errorCode, PimsError } from "../core/errors.ts";

export interface RunOptions {
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** A login by `su` leaves Debian's administration programs out of PATH. */
export const toolPath = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

/**
 * Runs a program of this machine to its end and returns what it printed. Throws `tool-missing` when it is not
 * installed and `tool-failed`, with the last line that it wrote, when it failed or took longer than `timeoutMs`.
 */
export function runTool(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const settings = {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    timeout: timeoutMs,
    killSignal: "SIGKILL" as const,
    maxBuffer: 16 << 20,
    env: { ...process.env, PATH: toolPath, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
  };
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, settings, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if (errorCode(error) === "ENOENT") {
        const hint = "run 'sh scripts/setup demo' in the checkout";
        return reject(new PimsError("tool-missing", `${program} is not installed`, { hint, cause: error }));
      }
      const last = stderr.trim().split("\n").at(-1)?.slice(0, 500);
      const why = error.killed ? `gave no result within ${timeoutMs / 1000} s` : `failed: ${last || error.message}`;
      reject(new PimsError("tool-failed", `${program} ${args[0] ?? ""} ${why}`, { cause: error }));
    });
    child.stdin?.end();
  });
}
