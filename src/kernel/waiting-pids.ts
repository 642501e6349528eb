import { ftruncateSync, readSync, writeSync } from "node:fs";
import { memfd_create, systemCallError } from "./libc.ts";

const MFD_CLOEXEC = 0x1;
/** Numbers of descriptors that are kept. */
export const NUMBERS = 4096;
const NUMBER_BYTES = 4;

/** A file in memory for WaitingPids, that several processes can have open. Throws PimsError `system-call`. */
export function openWaitingPids(): number {
  const descriptor = memfd_create("pims-waiting", MFD_CLOEXEC);
  if (descriptor < 0) throw systemCallError("memfd_create");
  return descriptor;
}

/**
 * Who waits for an answer: pids by the numbers of their events' descriptors, where another process finds them after the
 * one that has read the events is dead.
 */
export class WaitingPids {
  readonly #descriptor: number;
  readonly #bytes = Buffer.alloc(NUMBER_BYTES);

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Pid 0: nobody waits under the number any more. */
  set(number: number, pid: number): void {
    if (number < 0 || number >= NUMBERS) return;
    this.#bytes.writeInt32LE(pid, 0);
    writeSync(this.#descriptor, this.#bytes, 0, NUMBER_BYTES, number * NUMBER_BYTES);
  }

  /** By number; 0 where it is not known who waits, or nobody does. */
  read(): Int32Array {
    const pids = new Int32Array(NUMBERS);
    readSync(this.#descriptor, pids, 0, pids.byteLength, 0);
    return pids;
  }

  clear(): void {
    ftruncateSync(this.#descriptor, 0);
  }
}
