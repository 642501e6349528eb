// Events for tests, each right as it is; a test changes what it is about.
import { sha256Hex } from "../core/digest.ts";
import type { ActionEvent, CodeEvent, ListenerEvent, LogEvent, ProcessStartEvent, SweepEvent } from "../log/event.ts";
import type { ContainerName, Finding } from "../log/finding.ts";

export const TIME = "2026-01-02T03:04:05.678Z";

export function gapEvent(text: string): LogEvent {
  return { type: "gap", time: TIME, text };
}

export function sweepEvent(fields: Partial<SweepEvent> = {}): SweepEvent {
  return {
    type: "sweep",
    time: TIME,
    nonce: "",
    sweeps: 1,
    longestPauseMs: 1000,
    longestUnprovedMs: null,
    processes: 3,
    mappings: 9,
    pagesCompared: 0,
    pagesScrubbed: 0,
    scrubCycleMs: null,
    unreadable: 0,
    incomplete: [],
    ...fields,
  };
}

export function imageOf(name: string): string {
  return `sha256:${sha256Hex(`image ${name}`)}`;
}

export function containerOf(name: string, fields: Partial<ContainerName> = {}): ContainerName {
  return { runtime: "docker", id: sha256Hex(`container ${name}`), name, image: imageOf(name), ...fields };
}

export function startEvent(container: ContainerName): LogEvent {
  return { type: "container-start", time: TIME, container, imageName: `${container.name}:latest` };
}

export function stopEvent(container: ContainerName): LogEvent {
  return { type: "container-stop", time: TIME, container };
}

/** Digest of a file of a test. */
export function digestOf(path: string): string {
  return sha256Hex(`file ${path}`);
}

export function codeEvent(container: ContainerName, path: string, fields: Partial<CodeEvent> = {}): CodeEvent {
  return {
    type: "code",
    time: TIME,
    pid: 4711,
    startTime: "1234",
    comm: "server",
    exe: "/usr/bin/server",
    container,
    object: { path, dev: "0:42", ino: "77", digest: digestOf(path) },
    role: "executable",
    backing: "file",
    size: "4096",
    deleted: false,
    place: "in-segment",
    offset: "4096",
    mapped: [],
    ...fields,
  };
}

export function listenerEvent(container: ContainerName, fields: Partial<ListenerEvent> = {}): ListenerEvent {
  return {
    type: "listener",
    time: TIME,
    pid: 4711,
    startTime: "1234",
    comm: "server",
    exe: "/usr/bin/server",
    container,
    protocol: "tcp",
    address: "0.0.0.0",
    port: 80,
    held: true,
    ...fields,
  };
}

export function findingOf(container: ContainerName | null, fields: Partial<Finding> = {}): Finding {
  return {
    reason: "code-modified",
    pid: 4711,
    startTime: "1234",
    comm: "server",
    exe: "/usr/bin/server",
    container,
    object: { path: "/usr/bin/server", dev: "0:42", ino: "77", digest: digestOf("/usr/bin/server") },
    pages: [{ offset: "4096", expected: "11".repeat(32), actual: "22".repeat(32) }],
    text: "a code page differs from the file",
    ...fields,
  };
}

export function violationEvent(container: ContainerName | null, fields: Partial<Finding> = {}): LogEvent {
  return { type: "violation", time: TIME, ...findingOf(container, fields) };
}

export function actionEvent(container: ContainerName): ActionEvent {
  const said = { reason: "code-modified", by: "policy", outcome: "done", text: "paused" } as const;
  return { type: "action", time: TIME, action: "pause", container, ...said };
}

/** A process of the program at `path` that runs no script. */
export function processStartEvent(
  container: ContainerName,
  path: string,
  fields: Partial<ProcessStartEvent> = {},
): ProcessStartEvent {
  return {
    type: "process-start",
    time: TIME,
    pid: 4711,
    startTime: "1234",
    comm: "sh",
    exe: path,
    parent: 1,
    container,
    object: { path, dev: "0:42", ino: "77", digest: digestOf(path) },
    user: 0,
    arguments: digestOf("arguments"),
    script: null,
    unresolved: null,
    preloads: [],
    ...fields,
  };
}
