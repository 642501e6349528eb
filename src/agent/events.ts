import { brief, type JsonText, jsonTextBytes, printable } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import type { CodeEvent, ListenerEvent, LogEvent, ProcessStartEvent } from "../log/event.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { Fact, ModifiedPage, ProcessRef } from "../measure/facts.ts";
import type { Refusal } from "../measure/gate/protocol.ts";
import type { NamedFile } from "../measure/process-start.ts";

/** Longer paths are cut: no real program has one, and a container could fill log and memories with them. */
const MAX_PATH = 1024;

function boundedPath(path: JsonText): JsonText {
  const bytes = jsonTextBytes(path);
  if (bytes.length <= MAX_PATH) return path;
  return `${brief(path)} [cut, ${bytes.length} bytes, sha256 ${sha256Hex(bytes)}]`;
}

/** A process as the log names it. */
export function processFields(process: ProcessRef): Pick<Finding, "pid" | "startTime" | "comm" | "exe"> {
  return {
    pid: process.pid,
    startTime: process.startTime.toString(),
    comm: printable(process.comm).slice(0, 64),
    exe: boundedPath(process.exe),
  };
}

function objectFields(object: NamedFile): Finding["object"] {
  return { path: boundedPath(object.path), dev: object.device, ino: object.inode.toString(), digest: object.sha256 };
}

export type CodeFact = Extract<Fact, { kind: "code" }>;

/**
 * The program that the gate has seen, as the event of its execve would tell it: that may come when the process has gone.
 * Null for a script, of which its interpreter's start tells, and for what was not read.
 */
export function unlistedProgram({ container, pid, startTime, comm, path, script, ...file }: Refusal): CodeFact | null {
  const { device, inode, size, sha256 } = file;
  if (sha256 === null || script) return null;
  const object = { backing: "file", role: "executable", path, device, inode, size, sha256, deleted: false } as const;
  const process = { pid, startTime, comm, exe: path, container };
  // The kernel itself puts it in its place.
  return { kind: "code", process, object: { ...object, place: "in-segment", offset: 0n } };
}

/** Code that a process executes, in the words of the log. */
export function codeFields({ process, object, mapped }: CodeFact): Omit<CodeEvent, "type" | "time" | "container"> {
  return {
    ...processFields(process),
    object: objectFields(object),
    role: object.role,
    backing: object.backing === "kernel" ? "anonymous" : object.backing,
    size: object.size.toString(),
    deleted: object.deleted,
    place: object.place,
    offset: object.offset.toString(),
    mapped: [...(mapped ?? [])],
  };
}

/** The log's event for code seen in a container. */
export function codeEvent(fact: CodeFact, container: ContainerName, time: string): CodeEvent {
  const { pid, startTime, comm, exe, ...rest } = codeFields(fact);
  return { type: "code", time, pid, startTime, comm, exe, container, ...rest };
}

/** How a process was started, in the words of the log. */
export function startFields({
  process,
  program,
  start,
}: Extract<Fact, { kind: "start" }>): Omit<ProcessStartEvent, "type" | "time" | "container"> {
  const { parent, user, arguments: given, script, unresolved, preloads } = start;
  return {
    ...processFields(process),
    parent,
    object: objectFields(program),
    user,
    arguments: given,
    script: script === null ? null : objectFields(script),
    unresolved,
    preloads: preloads.map(({ by, said, object }) => ({ by, said, object: objectFields(object) })),
  };
}

/** The log's event for a process that was started. */
export function startEvent(
  fact: Extract<Fact, { kind: "start" }>,
  container: ContainerName,
  time: string,
): ProcessStartEvent {
  const { pid, startTime, comm, exe, parent, ...rest } = startFields(fact);
  return { type: "process-start", time, pid, startTime, comm, exe, parent, container, ...rest };
}

/** A listening socket of a container, in the words of the log. */
export function listenerFields({
  process,
  listener,
  held,
}: Extract<Fact, { kind: "listener" }>): Omit<ListenerEvent, "type" | "time" | "container"> {
  return { ...processFields(process), ...listener, held };
}

/** The log's event for a listening socket of a container. */
export function listenerEvent(
  fact: Extract<Fact, { kind: "listener" }>,
  container: ContainerName,
  time: string,
): ListenerEvent {
  const { pid, startTime, comm, exe, ...rest } = listenerFields(fact);
  return { type: "listener", time, pid, startTime, comm, exe, container, ...rest };
}

/** Facts that are findings whatever the image says. */
export type WrongInItself = Extract<Fact, { kind: "modified" | "page-cache" | "writable" | "mismatch" }>;

export function isWrongInItself(fact: Fact): fact is WrongInItself {
  return fact.kind in REASONS;
}

/** The finding that such a fact is. */
export function findingOf(fact: WrongInItself, container: ContainerName | null): Finding {
  const { process, object } = fact;
  const pages = "pages" in fact ? fact.pages : [];
  return {
    reason: REASONS[fact.kind],
    ...processFields(process),
    container,
    object: objectFields(object),
    pages: pages.map(({ offset, expected, actual }) => ({ offset: offset.toString(), expected, actual })),
    text: sentence(fact),
  };
}

const REASONS = {
  modified: "code-modified",
  "page-cache": "page-cache-modified",
  writable: "writable-code",
  mismatch: "container-mismatch",
} as const;

function sentence(fact: WrongInItself): string {
  const path = brief(fact.object.path);
  const who = `process ${fact.process.pid} (${brief(fact.process.exe)})`;
  switch (fact.kind) {
    case "modified": {
      const [count, differ] = countPages(fact.pages.length, "code page");
      return `${count} of ${path} in the memory of ${who} ${differ} from the file ${describeDifference(fact.pages)}`;
    }
    case "page-cache": {
      const [count, differ] = countPages(fact.pages.length, "page");
      return `${count} of ${path}, executed by ${who}, ${differ} from what the file held when it was measured, and its times say that nobody wrote to it`;
    }
    case "writable":
      return `process ${fact.writer.pid} (${brief(fact.writer.exe)}) can change the code of ${path} without a trace while ${who} executes it: it has the file mapped shared and writable`;
    case "mismatch": {
      const words = { mnt: "mount", pid: "process" };
      const where = `${fact.namespaces.map((kind) => words[kind]).join(" and ")} namespace`;
      return fact.how === "entered"
        ? `${who} is in the container's ${where} and not of the container: it entered past the runtime, as nsenter does`
        : `${who} of the container is in the host's ${where}, which the container itself is not`;
    }
  }
}

function countPages(count: number, what: string): [string, string] {
  return count === 1 ? [`a ${what}`, "differs"] : [`${count} ${what}s`, "differ"];
}

function describeDifference(pages: readonly ModifiedPage[]): string {
  const bytes = pages.reduce((sum, { difference }) => sum + difference.bytes, 0);
  const count = bytes === 1 ? "in one byte" : `in ${bytes} bytes`;
  return pages.every(({ difference }) => difference.breakpoints)
    ? `${count}, all of them breakpoints, as a debugger or uprobes set them`
    : count;
}

/**
 * What the gate refused. `listed` is the SHA-256 of the file that the baseline has at that path, null where it has none,
 * undefined where there is no baseline.
 */
export function refusedFinding(refusal: Refusal, container: ContainerName, listed: string | null | undefined): Finding {
  const { pid, startTime, comm, exe, parent, path, device, inode, sha256, late } = refusal;
  const fields = processFields({ pid, startTime, comm, exe, container });
  const who = `process ${pid} (${brief(exe)}, child of ${parent.pid} ${brief(parent.comm)})`;
  return {
    reason: "exec-denied",
    ...fields,
    container,
    object: objectFields({ path, device, inode, sha256 }),
    pages: [],
    text: `${who} was not let execute ${brief(path)}, ${whyRefused(sha256, late, listed)}`,
  };
}

function whyRefused(sha256: string | null, late: boolean, listed: string | null | undefined): string {
  if (listed === undefined) return "of which nobody could say whether the image has it";
  if (late) return "which could not be read in time";
  if (listed === null) return "which the image does not have";
  // What was too long to be read for the log was refused by its size, which nothing listed has.
  return sha256 === listed ? "which was changed meanwhile" : `where the image has another file, with sha256 ${listed}`;
}

export function violationEvent(finding: Finding, time: string): LogEvent {
  return { type: "violation", time, ...finding };
}
