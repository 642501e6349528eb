import { printable } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import type {
  ActionEvent,
  CodeEvent,
  GateEvent,
  ListenerEvent,
  LogEvent,
  ProcessStartEvent,
  SweepEvent,
} from "../log/event.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { LogRecord } from "../log/record.ts";
import type { ContainerStart } from "../log/start.ts";
import { isClientPort } from "../process/listen-address.ts";

/** One container of a host, as its proved log tells it. */
export interface ContainerState {
  container: ContainerName;
  imageName: string | null;
  /** Why its image could not be told, while that is so. */
  unresolved: string | null;
  /** How it was started the last time; null where nobody could tell. */
  start: ContainerStart | null;
  readonly startedAt: string;
  stoppedAt: string | null;
  /** Code seen in it, each file once. */
  readonly code: Map<string, CodeEvent>;
  /** How its processes were started, each kind once. */
  readonly processStarts: Map<string, ProcessStartEvent>;
  /** Sockets that it listened on, each once for each program. */
  readonly listeners: Map<string, ListenerEvent>;
  /** What its agent found, in order. It stays for the container's life, also when the page is restored. */
  readonly violations: Map<string, Finding & { time: string }>;
  readonly actions: ActionEvent[];
  /** What the gate before exec does in it; null where there is none. */
  gate: GateEvent | null;
  /** What earlier boots of the host have told of it. It is judged still; in this boot everything is told anew. */
  readonly earlier: EarlierFacts;
}

interface EarlierFacts {
  readonly code: Map<string, CodeEvent>;
  readonly processStarts: Map<string, ProcessStartEvent>;
  readonly listeners: Map<string, ListenerEvent>;
  /** So many of the first actions: those before it was started last. */
  actions: number;
}

/** What the proved part of a host's log adds up to. */
export interface HostState {
  /** By `runtime:id`. */
  readonly containers: Map<string, ContainerState>;
  lastSweep: SweepEvent | null;
  /** The longest that no sweep came to its end, of what the records added last tell. Milliseconds. */
  longestPauseMs: number;
  /** The longest that a violation has waited to be proved; null where none has. Milliseconds. */
  longestUnprovedMs: number | null;
  /** Between the starts of two sweeps, as the agent was told. */
  sweepIntervalMs: number | null;
}

/**
 * Bounds on what one container may make a verifier remember. With so many violations it is condemned already; with so much
 * code its coverage is incomplete.
 */
export const MAX_CODE = 16_384;
export const MAX_PROCESS_STARTS = 8192;
export const MAX_VIOLATIONS = 4096;
export const MAX_LISTENERS = 1024;
/** Sockets that may as well be clients', beyond which no more are remembered: a client may have a new one each minute. */
const MAX_CLIENTS = 256;
const MAX_ACTIONS = 1024;
/** Stopped containers that are remembered: so many in which nothing was found, and so many in which something was. */
const MAX_STOPPED = 1024;

export function emptyHostState(): HostState {
  return { containers: new Map(), lastSweep: null, longestPauseMs: 0, longestUnprovedMs: null, sweepIntervalMs: null };
}

export function keyOf(container: { runtime: string; id: string }): string {
  return `${container.runtime}:${container.id}`;
}

/** One finding is one reason, object, process and set of pages, however often it is seen. */
export function findingKey(finding: Finding): string {
  const { reason, pid, startTime, object, pages } = finding;
  return [
    reason,
    // How a container was started is the container's, whichever of its processes was looked at.
    ...(reason === "container-config" ? [] : [pid, startTime]),
    object.digest ?? printable(object.path),
    ...pages.map(({ offset, actual }) => `${offset}=${actual}`),
  ].join(" ");
}

/** Adds proved records to the state. */
export function applyRecords(state: HostState, records: readonly LogRecord[]): void {
  let pauseMs: number | null = null;
  for (const { events } of records)
    for (const event of events) {
      applyEvent(state, event);
      if (event.type === "sweep") pauseMs = Math.max(pauseMs ?? 0, event.longestPauseMs);
    }
  // Evidence that did not arrive leaves its sweep record to the next: the worse of them counts.
  if (pauseMs !== null) state.longestPauseMs = pauseMs;
}

function applyEvent(state: HostState, event: LogEvent): void {
  switch (event.type) {
    case "boot":
      beginBoot(state, event.time);
      return;
    case "container-start": {
      if (isAnother(state, event.container)) state.containers.delete(keyOf(event.container));
      const known = containerOf(state, event.container, event.time);
      // Said again when the runtime has told more.
      if (known.container.image === null) known.container = event.container;
      known.imageName ??= event.imageName;
      known.unresolved = known.container.image === null ? (event.unresolved ?? known.unresolved) : null;
      // What was done to it was done to its processes, and these are others.
      if (known.stoppedAt !== null || isOtherStart(known.start, event.start))
        known.earlier.actions = known.actions.length;
      known.start = event.start ?? known.start;
      known.stoppedAt = null;
      return;
    }
    case "container-stop":
      stop(state, containerOf(state, event.container, event.time), event.time);
      return;
    case "code": {
      const { code } = containerOf(state, event.container, event.time);
      // The first of its kind stays: what a finding says does not change when the same code is seen once more.
      if (code.size < MAX_CODE && !code.has(codeKey(event))) code.set(codeKey(event), event);
      return;
    }
    case "process-start": {
      const { processStarts } = containerOf(state, event.container, event.time);
      if (processStarts.size < MAX_PROCESS_STARTS && !processStarts.has(startKey(event)))
        processStarts.set(startKey(event), event);
      return;
    }
    case "listener": {
      const { listeners } = containerOf(state, event.container, event.time);
      if (!knowsListener(state, event)) listeners.set(listenerKey(event), event);
      return;
    }
    case "violation": {
      if (event.container === null) return;
      const { violations } = containerOf(state, event.container, event.time);
      const { type: _type, ...finding } = event;
      const key = findingKey(finding);
      if (!violations.has(key) && violations.size < MAX_VIOLATIONS) violations.set(key, finding);
      return;
    }
    case "action": {
      // An order may name a container that never was.
      if (event.outcome === "refused" && !state.containers.has(keyOf(event.container))) return;
      const { actions, earlier } = containerOf(state, event.container, event.time);
      // A new segment of the log tells it again.
      if (actions.some((one) => isSameAction(one, event))) return;
      actions.push(event);
      if (actions.length <= MAX_ACTIONS) return;
      actions.shift();
      earlier.actions = Math.max(0, earlier.actions - 1);
      return;
    }
    case "gate":
      containerOf(state, event.container, event.time).gate = event;
      return;
    case "sweep":
      state.lastSweep = event;
      if (event.longestUnprovedMs !== null)
        state.longestUnprovedMs = Math.max(state.longestUnprovedMs ?? 0, event.longestUnprovedMs);
      return;
    case "agent-start":
      state.sweepIntervalMs = event.intervalMs;
      return;
    default:
      return;
  }
}

/**
 * Whether a container that starts only has the id of one that was: one of runc ends with its last process and leaves its
 * id to the next, while Docker starts the same one again.
 */
function isAnother(state: HostState, now: ContainerName): boolean {
  const stoppedAt = state.containers.get(keyOf(now))?.stoppedAt;
  return now.runtime === "runc" && typeof stoppedAt === "string";
}

function isOtherStart(before: ContainerStart | null, now: ContainerStart | undefined): boolean {
  if (before === null || now === undefined) return false;
  return before.process.pid !== now.process.pid || before.process.startTime !== now.process.startTime;
}

function isSameAction(one: ActionEvent, other: ActionEvent): boolean {
  const isSame = one.time === other.time && one.action === other.action && one.outcome === other.outcome;
  return isSame && one.order?.id === other.order?.id && one.text === other.text;
}

/** Whether the container stands still by what was done to it last. */
export function isHeld({ actions, earlier }: ContainerState): boolean {
  // What stood still before it was started again runs.
  const last = actions.slice(earlier.actions).findLast(({ outcome }) => outcome === "done");
  return last?.action === "pause";
}

/** Whether this very code was already seen in the container, or is too much to be remembered. */
export function knowsCode(state: HostState, event: CodeEvent): boolean {
  const code = state.containers.get(keyOf(event.container))?.code;
  return code !== undefined && (code.has(codeKey(event)) || code.size >= MAX_CODE);
}

/** Whether a process was started like this before in the container, or in more ways than are remembered. */
export function knowsStart(state: HostState, event: ProcessStartEvent): boolean {
  const processStarts = state.containers.get(keyOf(event.container))?.processStarts;
  return (
    processStarts !== undefined && (processStarts.has(startKey(event)) || processStarts.size >= MAX_PROCESS_STARTS)
  );
}

/** One program, user, script and set of preloaded libraries is one kind. */
export function startKey({ object, user, script, unresolved, preloads }: ProcessStartEvent): string {
  const file = ({ digest, path }: Finding["object"]) => digest ?? printable(path);
  const made = preloads.flatMap(({ by, said, object }) => [by, said, file(object)]);
  const named = script === null ? "" : (script.digest ?? "");
  return sha256Hex(JSON.stringify([file(object), user, named, unresolved, ...made]));
}

/** One piece of code is one file, or one kind of memory, however often it is seen. */
export function codeKey(event: CodeEvent): string {
  // Who may have such memory depends on what else is mapped.
  const who = event.mapped.length === 0 ? "" : sha256Hex(event.mapped.join());
  // A listed file's bytes in a memory file are another thing than the file.
  if (event.object.digest !== null)
    return `${event.object.digest} ${event.backing} ${event.deleted} ${event.place ?? ""} ${who}`;
  return `${event.backing} ${event.role} ${printable(event.exe)} ${who}`;
}

/** Whether this program was already seen to listen there in the container, or it is too much to be remembered. */
export function knowsListener(state: HostState, event: ListenerEvent): boolean {
  const listeners = state.containers.get(keyOf(event.container))?.listeners;
  if (listeners === undefined) return false;
  return listeners.has(listenerKey(event)) || isListenersFull(listeners, isClientPort(event));
}

/** Whether no more listening sockets of a container are remembered, of possible clients' or of all others. */
export function isListenersFull(listeners: ContainerState["listeners"], clients: boolean): boolean {
  const limit = clients ? MAX_CLIENTS : MAX_LISTENERS;
  if (listeners.size < limit) return false;
  return [...listeners.values()].filter((one) => isClientPort(one) === clients).length >= limit;
}

/** One listener is one address and program, however many sockets, processes and times there are. */
export function listenerKey({ protocol, address, port, held, exe }: ListenerEvent): string {
  return JSON.stringify([protocol, address, port, held, exe]);
}

function containerOf(state: HostState, container: ContainerName, time: string): ContainerState {
  const key = keyOf(container);
  let known = state.containers.get(key);
  if (known === undefined) {
    known = {
      container,
      imageName: null,
      unresolved: null,
      start: null,
      startedAt: time,
      stoppedAt: null,
      code: new Map(),
      processStarts: new Map(),
      listeners: new Map(),
      violations: new Map(),
      actions: [],
      gate: null,
      earlier: { code: new Map(), processStarts: new Map(), listeners: new Map(), actions: 0 },
    };
    state.containers.set(key, known);
  }
  return known;
}

/** Stopped containers are remembered for a while, the longest stopped forgotten first. */
function stop(state: HostState, container: ContainerState, time: string): void {
  container.stoppedAt = time;
  moveToEnd(state, container);
  forgetStopped(state);
}

/** The map keeps its order: the last that stopped is the last to be forgotten. */
function moveToEnd(state: HostState, container: ContainerState): void {
  const key = keyOf(container.container);
  state.containers.delete(key);
  state.containers.set(key, container);
}

/** What was found in a container is not pushed out by others that only come and go: its id may be started again. */
function forgetStopped(state: HostState): void {
  const stopped = [...state.containers].filter(([, { stoppedAt }]) => stoppedAt !== null);
  for (const found of [false, true]) {
    const such = stopped.filter(([, { violations }]) => violations.size > 0 === found);
    for (const [key] of such.slice(0, Math.max(0, such.length - MAX_STOPPED))) state.containers.delete(key);
  }
}

/**
 * No process outlives a boot, but a runtime may start its containers again under the same ids: each has stopped until it is
 * seen again, and keeps what was found in it. What its processes do in this boot is told anew, so that every boot's log
 * says by itself what ran in it.
 */
function beginBoot(state: HostState, time: string): void {
  // Before those that lived are added, since they are the likeliest to come again.
  forgetStopped(state);
  state.lastSweep = null;
  for (const container of [...state.containers.values()]) {
    const { earlier, code, processStarts, listeners, actions } = container;
    if (container.stoppedAt === null) moveToEnd(state, container);
    container.stoppedAt ??= time;
    container.gate = null;
    moveInto(earlier.code, code, MAX_CODE);
    moveInto(earlier.processStarts, processStarts, MAX_PROCESS_STARTS);
    moveInto(earlier.listeners, listeners, MAX_LISTENERS + MAX_CLIENTS);
    earlier.actions = actions.length;
  }
}

function moveInto<T>(earlier: Map<string, T>, facts: Map<string, T>, maximum: number): void {
  for (const [key, fact] of facts) if (!earlier.has(key) && earlier.size < maximum) earlier.set(key, fact);
  facts.clear();
}
