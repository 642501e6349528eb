// Carries out harmless attacks in a process of its own, so that they do not wait for the measuring one. Tells of each what was done,
// to which process, and at which instant of the monotonic clock it began.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chmodSync, copyFileSync, readFileSync, realpathSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { sha256Hex } from "../src/core/digest.ts";
import { overwriteEntryPoint } from "../src/demo/patch-memory.ts";
import { parseMaps } from "../src/process/mapping.ts";

export const ATTACKS = ["code page overwritten", "program dropped and run", "library injected by LD_PRELOAD"] as const;
export type Attack = (typeof ATTACKS)[number];

/** One attack. `digest` is what identifies it in the facts: of the foreign file, or null for an overwritten page. */
export interface Deed {
  readonly attack: Attack;
  readonly pid: number;
  readonly digest: string | null;
  /** Nanoseconds of CLOCK_MONOTONIC, the same for all processes. */
  readonly start: string;
}

const SLEEP = realpathSync("/bin/sleep");
/** Long enough between two that they begin at every point of a sweep's second. */
const PAUSE_MS = 180;
/** Victims of earlier attacks live on until they have surely been seen. */
const LIVING = 20;

const [folder, tries] = [process.argv[2]!, Number(process.argv[3])];
const children: ChildProcess[] = [];
process.on("disconnect", () => process.exit(1));
process.on("SIGTERM", () => process.exit(1));
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** A file that no one has seen yet. */
function foreignFile(from: string, name: string): { path: string; digest: string } {
  const path = join(folder, name);
  copyFileSync(from, path);
  chmodSync(path, 0o755);
  appendFileSync(path, name);
  return { path, digest: sha256Hex(readFileSync(path)) };
}

function start(program: string, env = process.env): number {
  const child = spawn(program, ["60"], { stdio: "ignore", env });
  if (child.pid === undefined) throw new Error(`${program} could not be started`);
  children.push(child);
  if (children.length > LIVING) children.shift()!.kill("SIGKILL");
  return child.pid;
}

const library = parseMaps(readFileSync("/proc/self/maps")).find(
  ({ name }) => typeof name === "string" && /\/libm\.so\.6$/.test(name),
)?.name;
if (typeof library !== "string") throw new Error("there is no library to copy");

for (let turn = 0; turn < tries; turn++) {
  for (const attack of ATTACKS) {
    const name = `${ATTACKS.indexOf(attack)}-${turn}`;
    let deed: Deed;
    if (attack === "code page overwritten") {
      const pid = start(SLEEP);
      // It has loaded its libraries and a sweep may have met it; the attack begins at any point of a sweep's second.
      await wait(PAUSE_MS + Math.random() * 1000);
      const begun = process.hrtime.bigint();
      await overwriteEntryPoint(pid);
      deed = { attack, pid, digest: null, start: String(begun) };
    } else {
      const { path, digest } = foreignFile(attack === "program dropped and run" ? SLEEP : library, name);
      const env = attack === "program dropped and run" ? process.env : { ...process.env, LD_PRELOAD: path };
      const begun = process.hrtime.bigint();
      const pid = start(attack === "program dropped and run" ? path : SLEEP, env);
      deed = { attack, pid, digest, start: String(begun) };
      unlinkLater(path);
    }
    process.send!(deed);
    await wait(Math.random() * PAUSE_MS);
  }
}
await wait(3000);
process.send!("done");
await once(process, "message");
process.exit(0);

/** Deleted only when nobody asks for it any more: a deleted file would be another finding. */
function unlinkLater(path: string): void {
  setTimeout(() => unlinkSync(path), 10_000).unref();
}
