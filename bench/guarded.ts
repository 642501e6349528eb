import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { toolPath } from "../src/demo/run-tool.ts";

const READY_MS = 30_000;

/** Shell script, each part of it: what must be so beforehand, what is started, what ends it again and undoes it. */
export interface Guarded {
  readonly check: string;
  readonly start: string;
  readonly end: string;
}

/**
 * Starts something on this machine whose end must not depend on ours: a shell runs `check` and `start`, waits until its
 * standard input is closed, which it is also when this process is killed, and runs `end`. When `start` fails `end` is run,
 * too; when `check` fails nothing is. Throws then with the last line that was written. Comes back with what ends it.
 */
export async function startGuarded({ check, start, end }: Guarded): Promise<() => Promise<void>> {
  const script = `trap '' INT TERM HUP
(set -e
${check}
) || exit 1
(set -e
${start}
) && echo started && read -r _
${end}`;
  const child = spawn("sh", ["-c", script], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, PATH: toolPath, LC_ALL: "C" },
    // Ctrl-C of a terminal is for this process, which then closes the pipe.
    detached: true,
  });
  const exited = once(child, "exit");
  const said: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => void said.splice(0, said.length - 20, line));
  const stop = async () => {
    child.stdin.end();
    await exited;
  };
  const timer = setTimeout(() => child.stdin.end(), READY_MS);
  const started = await new Promise<boolean>((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => line === "started" && resolve(true));
    void exited.then(() => resolve(false));
  });
  clearTimeout(timer);
  if (started) return stop;
  await stop();
  throw new Error(said.at(-1) ?? "it did not start and said nothing");
}
