import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PimsError } from "../core/errors.ts";

const PROGRAM = join(import.meta.dirname, "../../bin/pims");
const STOP_DEADLINE_MS = 10_000;
const MAX_LINES = 200;

/** A `pims` command that runs as a process of its own. */
export interface PimsProcess {
  readonly pid: number;
  /** What it has said last, oldest first. */
  readonly lines: readonly string[];
  /** Comes back with the first line that matches. Throws `process-ended` or `process-silent`. */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
  /** Ends it in order, and by force when it does not. */
  stop(): Promise<void>;
  /** Ends it at once, with no chance to do anything more. */
  kill(): Promise<void>;
}

/**
 * Starts `pims ARGS`, by `wrapper` (a command that executes what follows) when given. The kernel kills it when this process
 * ends in whatever way.
 */
export function startPims(
  args: readonly string[],
  onLine: (line: string) => void = () => {},
  wrapper: readonly string[] = [],
): PimsProcess {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...wrapper, PROGRAM, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const lines: string[] = [];
  const listeners = new Set<() => void>();
  const ended = endOf(child, () => {
    for (const listener of listeners) listener();
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    if (lines.length > MAX_LINES) lines.shift();
    onLine(line);
    for (const listener of listeners) listener();
  });
  return {
    pid: child.pid ?? 0,
    lines,
    async waitFor(pattern, timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      const said = () =>
        `pims ${args.slice(0, 2).join(" ")}${lines.length > 0 ? ` said: ${lines.at(-1)}` : " said nothing"}`;
      for (;;) {
        for (const line of lines) {
          const match = pattern.exec(line);
          if (match) return match;
        }
        if (ended.done) throw new PimsError("process-ended", `a part of the demo ended by itself; ${said()}`);
        const left = deadline - performance.now();
        if (left <= 0) throw new PimsError("process-silent", `a part of the demo does not get ready; ${said()}`);
        const { promise, resolve } = Promise.withResolvers<void>();
        listeners.add(resolve);
        const timer = setTimeout(resolve, left);
        await promise;
        clearTimeout(timer);
        listeners.delete(resolve);
      }
    },
    async kill() {
      child.kill("SIGKILL");
      await ended.promise;
    },
    async stop() {
      if (ended.done) return;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
      await ended.promise;
      clearTimeout(timer);
    },
  };
}

function endOf(child: ChildProcess, onEnd: () => void): { readonly promise: Promise<unknown>; done: boolean } {
  const end = { promise: Promise.race([once(child, "exit"), once(child, "error")]), done: false };
  void end.promise
    .catch(() => undefined)
    .then(() => {
      end.done = true;
      onEnd();
    });
  return end;
}
