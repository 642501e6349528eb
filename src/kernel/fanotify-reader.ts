import { once } from "node:events";
import { closeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { FanotifyEvent } from "./fanotify.ts";

/** Events that are read and not yet given back: beyond, who asks waits in the kernel, where nothing is lost. */
export const MAX_HELD = 512;
/** Numbers that both threads see: events that are held, and turns of the reading thread. */
export const SLOT = { held: 0, turns: 1 } as const;

export interface FanotifyReaderEvents {
  /** Programs that wait for an answer. */
  onEvents(events: readonly FanotifyEvent[]): void;
  /** Tables of mounts (descriptors that `watch` was given) that have changed. */
  onMounts(tables: readonly number[]): void;
  /** Tables that are closed after this, since the processes that they were opened by have exited. */
  onEnded(tables: readonly number[]): void;
  onError(error: unknown): void;
}

type Told =
  | { events: FanotifyEvent[] }
  | { changed: number[]; ended: { table: number; process: number }[] }
  | { asking: true };

/**
 * Reads a fanotify group on a thread of its own, which also stops ignoring files that somebody could have written to; and
 * watches tables of mounts for changes.
 */
export class FanotifyReader {
  readonly #worker: Worker;
  readonly #asking = Promise.withResolvers<void>();
  readonly #shared = new Int32Array(new SharedArrayBuffer(8));

  /** `waiting` is a descriptor of openWaitingPids: who waits is noted there as soon as it is read. */
  constructor(group: number, waiting: number, events: FanotifyReaderEvents) {
    this.#worker = new Worker(new URL("./fanotify-worker.ts", import.meta.url), {
      workerData: { group, waiting, shared: this.#shared },
      // What it closes was opened here.
      trackUnmanagedFds: false,
    });
    this.#worker.on("message", (message: Told) => {
      if ("asking" in message) return this.#asking.resolve();
      if ("events" in message) return events.onEvents(message.events);
      if (message.changed.length > 0) events.onMounts(message.changed);
      if (message.ended.length === 0) return;
      events.onEnded(message.ended.map(({ table }) => table));
      // An open table keeps a container's mounts from going away with it.
      for (const { table, process } of message.ended) for (const descriptor of [table, process]) closeSync(descriptor);
    });
    this.#worker.on("error", (error) => events.onError(error));
  }

  /** Turns that the reading thread has made: one that stands still is stuck in the kernel. */
  get turns(): number {
    return Atomics.load(this.#shared, SLOT.turns);
  }

  /** Reads events, and watches what it has been given so far, from when this comes back. */
  ask(): Promise<void> {
    this.#worker.postMessage({ ask: true });
    return this.#asking.promise;
  }

  /** An event's descriptors have been closed. */
  gaveBack(): void {
    Atomics.sub(this.#shared, SLOT.held, 1);
    Atomics.notify(this.#shared, SLOT.held);
  }

  /**
   * Tells of changes of the table of mounts that `table` is open on, until the process of `pidfd` exits or it is
   * forgotten. The reader owns both descriptors from now on.
   */
  watch(table: number, pidfd: number): void {
    this.#worker.postMessage({ watch: { table, process: pidfd } });
  }

  /** Closes a table that is watched. */
  forget(table: number): void {
    this.#worker.postMessage({ forget: table });
  }

  async close(): Promise<void> {
    const exited = once(this.#worker, "exit");
    this.#worker.postMessage({ stop: true });
    await exited;
  }
}
