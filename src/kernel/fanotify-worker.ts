// Worker thread: libuv takes no fanotify descriptor, and whoever answers must not wait for whoever asks.
import { closeSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { errorCode } from "../core/errors.ts";
import { closeEvent, type FanotifyEvent, OPEN_EXEC_PERM, parseFanotifyEvents, stopIgnoringFile } from "./fanotify.ts";
import { MAX_HELD, SLOT } from "./fanotify-reader.ts";
import { poll } from "./libc.ts";
import { WaitingPids } from "./waiting-pids.ts";

const EVENT_BYTES = 32;
const BATCH = 128;
/** A worker in a blocking call keeps the process from exiting, so no wait is longer than this. */
const POLL_MS = 100;
const POLLIN = 0x1;
/** A table of mounts that has changed since it was polled last (proc_pid_mounts(5)). */
const POLLPRI = 0x2;
const FULL_MS = 20;

const port = parentPort;
if (port === null) throw new Error("not a worker");
const { group, waiting, shared } = workerData as { group: number; waiting: number; shared: Int32Array };
const waitingPids = new WaitingPids(waiting);
/** Descriptors of tables of mounts, each with one of the process that it was opened by. */
const tables = new Map<number, number>();
const buffer = Buffer.alloc(BATCH * EVENT_BYTES);
let asking = false;
let stopping = false;

port.on(
  "message",
  (message: { ask?: true; stop?: true; watch?: { table: number; process: number }; forget?: number }) => {
    if (message.ask) {
      asking = true;
      port.postMessage({ asking });
    }
    if (message.stop) stopping = true;
    if (message.watch !== undefined) tables.set(message.watch.table, message.watch.process);
    if (message.forget !== undefined) forget(message.forget);
  },
);

function forget(table: number): void {
  const owner = tables.get(table);
  if (owner === undefined) return;
  tables.delete(table);
  closeSync(table);
  closeSync(owner);
}

/** What a read of the group gave, as much as there is room for. */
function readEvents(): FanotifyEvent[] {
  const room = Math.min(MAX_HELD - Atomics.load(shared, SLOT.held), BATCH);
  if (room <= 0) {
    Atomics.wait(shared, SLOT.held, Atomics.load(shared, SLOT.held), FULL_MS);
    return [];
  }
  try {
    const events = parseFanotifyEvents(buffer.subarray(0, readSync(group, buffer, 0, room * EVENT_BYTES, null)));
    for (const { mask, fd, pid } of events) if ((mask & OPEN_EXEC_PERM) !== 0n) waitingPids.set(fd, pid);
    return events.filter((event) => !isClosed(event));
  } catch (error) {
    // ENOENT and the like: the kernel has refused a program itself, whose file could not be opened any more.
    if (["EAGAIN", "ENOENT", "ESTALE", "EINTR", "ENXIO", "ENODEV", "EIO"].includes(errorCode(error) ?? "")) return [];
    throw error;
  }
}

/** Whoever could write to an ignored file through memory has closed it: from then on it is executed unasked, so here and at once. */
function isClosed(event: FanotifyEvent): boolean {
  if ((event.mask & OPEN_EXEC_PERM) !== 0n) return false;
  if (event.fd >= 0) stopIgnoringFile(group, event.fd);
  closeEvent(event);
  return true;
}

function turn(): void {
  if (stopping) {
    for (const table of [...tables.keys()]) forget(table);
    port?.close();
    return;
  }
  Atomics.add(shared, SLOT.turns, 1);
  const polled = [...tables].flatMap(([table, process]) => [
    { fd: table, events: POLLPRI, table },
    { fd: process, events: POLLIN, table },
  ]);
  if (asking) polled.push({ fd: group, events: POLLIN, table: -1 });
  const descriptors = Buffer.alloc(8 * polled.length);
  for (const [index, { fd, events }] of polled.entries()) {
    descriptors.writeInt32LE(fd, 8 * index);
    descriptors.writeInt16LE(events, 8 * index + 4);
  }
  if (poll(descriptors, polled.length, POLL_MS) > 0) {
    const ready = polled.filter(({ events }, index) => (descriptors.readInt16LE(8 * index + 6) & events) !== 0);
    if (ready.some(({ fd }) => fd === group)) {
      const events = readEvents();
      Atomics.add(shared, SLOT.held, events.length);
      if (events.length > 0) port?.postMessage({ events });
    }
    const changed = ready.filter(({ fd, table }) => fd === table).map(({ table }) => table);
    // The other thread may be reading the table just now, so it closes these.
    const ended = ready
      .filter(({ fd, table }) => fd !== table && fd !== group)
      .map(({ table, fd }) => ({ table, process: fd }));
    for (const { table } of ended) tables.delete(table);
    if (changed.length > 0 || ended.length > 0) port?.postMessage({ changed, ended });
  }
  setImmediate(turn);
}
turn();
