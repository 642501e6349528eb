import { closeSync, readFileSync, readlinkSync } from "node:fs";
import { type JsonText, jsonTextBytes, toJsonText } from "../core/bytes.ts";
import { withDeadline } from "../core/deadline.ts";
import { sha256Hex } from "../core/digest.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { fileStats, isFolder, isRegular } from "../kernel/file-stats.ts";
import { isGone, type Method } from "../process/address-space.ts";
import { type ProcessArguments, readArguments } from "../process/arguments.ts";
import { holdInRoot } from "../process/in-root.ts";
import { PRELOAD_FILE, type PreloadWay, preloadNames } from "../process/preload.ts";
import { type NoFile, scriptArgument } from "../process/script-argument.ts";
import { answering } from "./answering.ts";
import type { ProcessRef } from "./facts.ts";
import type { FileDigests, HashBudget } from "./file-digest.ts";
import { fillFrom } from "./fill-from.ts";
import { withFile } from "./with-file.ts";

/** A file that a process was told to run or to load. `0:0`, 0 and null where no file is found by the name. */
export interface NamedFile {
  readonly path: JsonText;
  readonly device: string;
  readonly inode: bigint;
  readonly sha256: string | null;
}

/**
 * Why a script's file could not be measured, or what is to be known about its digest: `changed`, since the process was
 * started; `gone`, the process before its arguments were read; `not-a-file`, a pipe or a device.
 */
export type Unresolved = NoFile | "not-found" | "not-a-file" | "changed" | "gone" | "unreadable";

/** A library that a process is made to load. */
export interface Preload {
  readonly by: PreloadWay;
  /** SHA-256 of the variable's value or of the file's content. */
  readonly said: string;
  readonly object: NamedFile;
}

/** How a process was started. */
export interface ProcessStart {
  /** The host's number of its parent. */
  readonly parent: number;
  /** The host's number of its effective user. */
  readonly user: number;
  /** SHA-256 of its arguments, null when they could not be read. */
  readonly arguments: string | null;
  readonly script: NamedFile | null;
  readonly unresolved: Unresolved | null;
  readonly preloads: readonly Preload[];
  /** What could not be read, one sentence for each. */
  readonly unread: readonly string[];
}

const NOT_FOUND = { device: "0:0", inode: 0n, sha256: null };
const MAX_PRELOADS = 32;
const MAX_PRELOAD_FILE_BYTES = 64 * 1024;
const DEADLINE_MS = 5000;

/** A name that was given, and what is held of the file that it leads to. */
interface Held {
  readonly name: string;
  readonly fd: number | null;
}

/**
 * Reads how a process was started. It begins at once, since many a process lives for a millisecond only, and holds on to
 * the files that the arguments and the environment name; they are hashed when the process is measured.
 */
export class StartReading {
  readonly #process: ProcessRef;
  readonly #method: Method;
  readonly #executedMs: number;
  readonly #parent: number;
  readonly #user: number;
  readonly #reading: Promise<void>;
  readonly #descriptors: number[] = [];
  #arguments: string | null = null;
  #script: Held | null = null;
  #unresolved: Unresolved | null = null;
  readonly #preloads: { by: PreloadWay; said: string; held: Held }[] = [];
  readonly #unread: string[] = [];
  #settled = false;
  #released = false;

  /**
   * A script that was changed after `executedMs`, in milliseconds since 1970, need not be what was run. Throws a system
   * error when the process has gone.
   */
  constructor(process: ProcessRef, executedMs: number, method: Method) {
    this.#process = process;
    this.#method = method;
    this.#executedMs = executedMs;
    const status = readFileSync(`/proc/${process.pid}/status`, "utf8");
    this.#parent = Number(/^PPid:\t(\d+)$/m.exec(status)?.[1] ?? 0);
    this.#user = Number(/^Uid:\t\d+\t(\d+)/m.exec(status)?.[1] ?? 0);
    this.#reading = withDeadline(`process ${process.pid}, asked how it was started,`, DEADLINE_MS, () => this.#read())
      .catch((error: unknown) => {
        if (errorCode(error) === undefined) throw error;
        if (this.#unresolved === "not-found") this.#unresolved = "gone";
        if (isGone(error)) return;
        if (this.#unresolved === "gone") this.#unresolved = "unreadable";
        this.#unread.push(describeError(error));
      })
      .finally(() => {
        this.#settled = true;
      });
    // Whoever finishes it hears of what fails.
    this.#reading.catch(() => {});
  }

  /** Waits until it is done, and no longer than so many milliseconds. Whether it is done. */
  async isDone(milliseconds: number): Promise<boolean> {
    if (this.#settled) return true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    });
    await Promise.race([this.#reading, late]);
    clearTimeout(timer);
    return this.#settled;
  }

  /** Hashes what is held. Throws what nobody foresaw. */
  async finish(digests: FileDigests, budget: HashBudget): Promise<ProcessStart> {
    await this.#reading;
    const unread = [...this.#unread];
    const script = await this.#measureScript(digests, budget, unread);
    const preloads: Preload[] = [];
    for (const { by, said, held } of this.#preloads)
      preloads.push({ by, said, object: await measureNamed(held, digests, budget, unread) });
    return { parent: this.#parent, user: this.#user, arguments: this.#arguments, ...script, preloads, unread };
  }

  /** Lets go of the files, once nothing is read of them any more: a descriptor's number goes to another file at once. */
  release(): void {
    this.#released = true;
    const letGo = () => {
      for (const fd of this.#descriptors.splice(0)) closeSync(fd);
    };
    if (this.#settled) letGo();
    else this.#reading.then(letGo, letGo);
  }

  async #read(): Promise<void> {
    const { pid, exe, comm } = this.#process;
    const program = Buffer.from(jsonTextBytes(exe))
      .toString("latin1")
      .replace(/ \(deleted\)$/, "");
    // Of a process that goes before its arguments are read it can be said only that it was an interpreter.
    if (scriptArgument(program, comm, [], undefined).kind !== "none") this.#unresolved = "gone";
    const given = await readArguments(pid);
    if (given === null) return;
    this.#arguments = given.digest;
    const argument = scriptArgument(program, comm, given.argv, given.variables.PATH[0]);
    if (argument.kind === "file") await this.#findScript(argument.names);
    else if (argument.kind === "first-line") await this.#findFirstLine(argument.names);
    else this.#unresolved = argument.kind === "none" ? null : argument.why;
    await this.#findPreloads(given);
  }

  async #findScript(names: readonly string[]): Promise<void> {
    this.#script = { name: names[0]!, fd: null };
    this.#unresolved = "not-found";
    for (const name of names) {
      const fd = await this.#hold(name);
      if (fd === null || (names.length > 1 && isFolder(fileStats(fd)))) continue;
      this.#script = { name, fd };
      this.#unresolved = null;
      return;
    }
  }

  async #findFirstLine(names: readonly string[]): Promise<void> {
    await this.#findScript(names);
    const fd = this.#script?.fd ?? null;
    if (fd !== null && (await readStart(fd, 2))?.toString("latin1") === "#!") return;
    this.#script = null;
    this.#unresolved = null;
  }

  async #findPreloads(given: ProcessArguments): Promise<void> {
    for (const by of ["LD_PRELOAD", "LD_AUDIT"] as const)
      for (const value of given.variables[by]) await this.#addPreloads(by, Buffer.from(value, "latin1"));
    const fd = await this.#hold(PRELOAD_FILE);
    const content = fd === null ? null : await readStart(fd, MAX_PRELOAD_FILE_BYTES);
    if (content !== null) await this.#addPreloads(PRELOAD_FILE, content);
  }

  async #addPreloads(by: PreloadWay, said: Buffer): Promise<void> {
    const names = preloadNames(by, said.toString("latin1"));
    for (const name of names.slice(0, MAX_PRELOADS - this.#preloads.length)) {
      // The loader looks for a name without a slash in folders of its own.
      const fd = name.includes("/") ? await this.#hold(name) : null;
      this.#preloads.push({ by, said: sha256Hex(said), held: { name, fd } });
    }
  }

  async #hold(name: string): Promise<number | null> {
    const fd = await holdInRoot(this.#process.pid, name, this.#method);
    if (fd === null) return null;
    if (!this.#released) this.#descriptors.push(fd);
    else closeSync(fd);
    return this.#released ? null : fd;
  }

  async #measureScript(
    digests: FileDigests,
    budget: HashBudget,
    unread: string[],
  ): Promise<Pick<ProcessStart, "script" | "unresolved">> {
    const script = this.#script;
    if (script === null) return { script, unresolved: this.#unresolved };
    const { name, fd } = script;
    if (fd === null) return { script: notFound(name), unresolved: this.#unresolved };
    const failures = unread.length;
    const object = await measureNamed(script, digests, budget, unread);
    if (object.sha256 === null)
      return { script: object, unresolved: unread.length > failures ? "unreadable" : "not-a-file" };
    const changedMs = Number(fileStats(fd).changedNs / 1_000_000n);
    return { script: object, unresolved: changedMs > this.#executedMs ? "changed" : null };
  }
}

async function measureNamed(
  { name, fd }: Held,
  digests: FileDigests,
  budget: HashBudget,
  failures: string[],
): Promise<NamedFile> {
  if (fd === null) return notFound(name);
  const path = pathOf(fd);
  try {
    // What is no file, a pipe or a device, is not opened.
    if (!isRegular(fileStats(fd))) return { path, ...NOT_FOUND };
    const { device, inode, sha256 } = await digests.measure(`/proc/self/fd/${fd}`, budget);
    return { path, device, inode, sha256 };
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    failures.push(describeError(error));
    return { path, ...NOT_FOUND };
  }
}

/** As `maps` and `exe` name files, with all links resolved. */
function pathOf(fd: number): JsonText {
  return toJsonText(readlinkSync(`/proc/self/fd/${fd}`, { encoding: "buffer" }));
}

function notFound(name: string): NamedFile {
  return { path: toJsonText(Buffer.from(name, "latin1")), ...NOT_FOUND };
}

/** Up to so many bytes of a file. Null where it is no file, or empty: what is a pipe or a device is not opened. */
async function readStart(fd: number, length: number): Promise<Buffer | null> {
  const stats = fileStats(fd);
  if (!isRegular(stats) || stats.size === 0n) return null;
  return withFile(`/proc/self/fd/${fd}`, stats.device, async (file) => {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, await answering(stats.device, () => fillFrom(file, bytes, 0)));
  });
}
