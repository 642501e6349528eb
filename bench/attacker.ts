// Carries out harmless attacks in processes of their own, so that they do not wait for the measuring one. Tells of each what was done,
// to which process, and at which instant of the monotonic clock it began.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  realpathSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { sha256Hex } from "../src/core/digest.ts";
import { overwriteEntryPoint } from "../src/demo/patch-memory.ts";
import { parseMaps } from "../src/process/mapping.ts";

/** Classes of attacks, by the reason that they lead to and how it is done. */
export const ATTACKS = {
  "code-modified: /proc/PID/mem": overwrite,
  "code-modified: mprotect and write": byPython("mprotect", () => "modified"),
  "anonymous-code: mmap rwx": byPython("anonymous", () => "anonymous"),
  "code-outside-segment: mprotect": byPython("place", () => "outside-segment"),
  "memfd-executable: fexecve": byPython("memfd", () => "memfd"),
  "deleted-executable: exec, unlink": byPython("deleted", () => "deleted"),
  "unknown-executable: dropped": drop,
  "file-modified: library rewritten": byPython("rewrite", rewrittenLibrary),
  "writable-code: shared mapping": byPython("shared", sharedLibrary),
  "unknown-script: #!": script((path) => [path, []]),
  "unknown-script: sh FILE": script((path) => ["/bin/sh", [path]]),
  "unexpected-listener: tcp": listen,
  "unknown-library: LD_PRELOAD": preload,
  "unknown-library: dlopen": byPython("dlopen", (name) => foreignFile(library(), name)),
} as const satisfies Record<string, (name: string) => Promise<Done>>;
export type AttackClass = keyof typeof ATTACKS;

interface Done {
  readonly pid: number;
  /** What identifies it in the facts about that process: see `marksOf` in detection.ts. */
  readonly mark: string;
  /** Nanoseconds of CLOCK_MONOTONIC, the same for all processes. */
  readonly start: string;
}

/** One attack that was carried out. */
export interface Deed extends Done {
  readonly attack: AttackClass;
}

const SLEEP = realpathSync("/bin/sleep");
/** Long enough after its start for a process to be met; the attack begins at any point of a sweep's second. */
const delayMs = () => 300 + Math.random() * 1000;
/** Victims of earlier attacks live on until they have surely been seen. */
const LIVING_MS = 20_000;
const TURN_MS = 1200;

const [folder, tries] = [process.argv[2]!, Number(process.argv[3])];
const children = new Set<ChildProcess>();
process.on("disconnect", () => process.exit(1));
process.on("SIGTERM", () => process.exit(1));
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

function start(program: string, args: readonly string[], env = process.env): ChildProcess & { pid: number } {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} could not be started`);
  children.add(child);
  setTimeout(() => child.kill("SIGKILL"), LIVING_MS).unref();
  child.once("close", () => children.delete(child));
  return Object.assign(child, { pid });
}

async function overwrite(): Promise<Done> {
  const { pid } = start(SLEEP, ["60"]);
  await wait(delayMs());
  const begun = String(process.hrtime.bigint());
  await overwriteEntryPoint(pid);
  return { pid, mark: "modified", start: begun };
}

async function drop(name: string): Promise<Done> {
  await wait(delayMs());
  const mark = foreignFile(SLEEP, name);
  const begun = String(process.hrtime.bigint());
  return { pid: start(join(folder, name), ["60"]).pid, mark, start: begun };
}

async function preload(name: string): Promise<Done> {
  await wait(delayMs());
  const mark = foreignFile(library(), name);
  const begun = String(process.hrtime.bigint());
  const { pid } = start(SLEEP, ["60"], { ...process.env, LD_PRELOAD: join(folder, name) });
  return { pid, mark, start: begun };
}

/** A script that stops itself, and how it is started. */
function script(command: (path: string) => [program: string, args: string[]]): (name: string) => Promise<Done> {
  return async (name) => {
    await wait(delayMs());
    const path = join(folder, name);
    const text = `#!/bin/sh\nkill -STOP $$\n# ${name}\n`;
    writeFileSync(path, text, { mode: 0o755 });
    setTimeout(() => unlinkSync(path), 2 * LIVING_MS).unref();
    const begun = String(process.hrtime.bigint());
    return { pid: start(...command(path)).pid, mark: sha256Hex(text), start: begun };
  };
}

/** Ports that nothing else of this machine is likely to want, another one each time. */
let port = 20_000;

async function listen(): Promise<Done> {
  const own = port++;
  return byPython("listen", () => `tcp/${own}`)(String(own));
}

/** What attacker.py does. */
function byPython(attack: string, prepare: (name: string) => string): (name: string) => Promise<Done> {
  return async (name) => {
    const mark = prepare(name);
    const script = join(import.meta.dirname, "attacker.py");
    const child = start("/usr/bin/python3", [script, attack, String(delayMs() / 1000), join(folder, name)]);
    const [line] = await once(createInterface(child.stdout!), "line");
    return { ...JSON.parse(line), mark };
  };
}

/** A file that no one has seen yet; returns its digest. Deleted only when nobody asks for it any more. */
function foreignFile(from: string, name: string): string {
  const path = join(folder, name);
  copyFileSync(from, path);
  chmodSync(path, 0o755);
  appendFileSync(path, name);
  setTimeout(() => unlinkSync(path), 2 * LIVING_MS).unref();
  return sha256Hex(readFileSync(path));
}

/** A library that attacker.py rewrites; returns its digest afterwards. */
function rewrittenLibrary(name: string): string {
  foreignFile(library(), name);
  return sha256Hex(Buffer.concat([readFileSync(join(folder, name)), Buffer.from("rewritten")]));
}

/** A library that attacker.py maps to write to it. */
function sharedLibrary(name: string): string {
  foreignFile(library(), name);
  return "writable";
}

function library(): string {
  const maps = parseMaps(readFileSync("/proc/self/maps"));
  const name = maps.find((one) => typeof one.name === "string" && /\/libm\.so\.6$/.test(one.name))?.name;
  if (typeof name !== "string" || !existsSync(name)) throw new Error("there is no library to copy");
  return name;
}

for (let turn = 0; turn < tries; turn++) {
  const turnEnd = wait(TURN_MS);
  const deeds = Object.entries(ATTACKS).map(async ([attack, act], index) => {
    process.send!({ attack, ...(await act(`${index}-${turn}`)) });
  });
  await Promise.all(deeds);
  await turnEnd;
}
await wait(3000);
process.send!("done");
await once(process, "message");
process.exit(0);
