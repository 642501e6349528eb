import { fstatSync, read, readFileSync, readlinkSync } from "node:fs";
import { promisify } from "node:util";
import { type JsonText, toJsonText } from "../../core/bytes.ts";
import { sha256Stream } from "../../core/digest.ts";
import { closeEvent, type FanotifyEvent } from "../../kernel/fanotify.ts";
import { deviceText } from "../../kernel/file-stats.ts";
import { LONG_NAME } from "../../kernel/procmap.ts";
import { parseStat } from "../../process/stat.ts";
import type { Guarded } from "./guarded.ts";
import type { Refusal } from "./protocol.ts";

const readAt = promisify(read);
const CHUNK_BYTES = 1024 * 1024;

/** A file as it is when it is about to be executed. */
export interface ExecFile {
  /** `major:minor` */
  readonly device: string;
  readonly inode: bigint;
  readonly size: bigint;
  /** The same file, unchanged as far as its times tell. */
  readonly signature: string;
  /** Last change of content or attributes, milliseconds since 1970. Nobody can set it but by setting the clock. */
  readonly changedMs: number;
}

/** A program that waits for its answer. */
export class HeldExec {
  readonly event: FanotifyEvent;
  /** As it was when the kernel asked. */
  readonly file: ExecFile;
  readonly atMs = performance.now();
  /** Whose it is; null as long as that is not known. */
  guarded: Guarded | null = null;
  answered = false;
  /** Whether its first bytes name an interpreter, once it has been read. */
  script = false;
  #readers = 0;
  #closed = false;

  /** Throws a system error where the file cannot be looked at. */
  constructor(event: FanotifyEvent) {
    this.event = event;
    this.file = describe(event.fd);
  }

  /** Whether the file is still as it was. */
  isSame(): boolean {
    return describe(this.event.fd).signature === this.file.signature;
  }

  /**
   * SHA-256 of the whole file; null when it was not read by then (milliseconds of the monotonic clock), could not be
   * read, or was changed meanwhile. Until it is its `turn` the file stays open.
   */
  async digest(endMs: number, turn?: Promise<void>): Promise<string | null> {
    this.#readers++;
    try {
      await turn;
      const hash = sha256Stream();
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Number(this.file.size) + 1));
      for (let position = 0; performance.now() < endMs; ) {
        const { bytesRead } = await readAt(this.event.fd, chunk, 0, chunk.length, position);
        if (bytesRead === 0) return this.isSame() ? hash.hex() : null;
        if (position === 0) this.script = chunk.toString("latin1", 0, Math.min(2, bytesRead)) === "#!";
        hash.update(chunk.subarray(0, bytesRead));
        position += bytesRead;
      }
      return null;
    } catch {
      return null;
    } finally {
      this.#readers--;
    }
  }

  /** Closes the descriptors once it is answered and nobody reads any more. Returns whether it did. */
  close(): boolean {
    if (!this.answered || this.#readers > 0 || this.#closed) return false;
    this.#closed = true;
    closeEvent(this.event);
    return true;
  }

  /** Who wants to execute what. Null when the process has gone. */
  story(): Omit<Refusal, "container" | "sha256" | "late" | "allowed" | "script"> | null {
    const { pid, fd } = this.event;
    const { device, inode, size } = this.file;
    const process = statOf(pid);
    if (process === null) return null;
    const parent = { pid: process.parent, comm: statOf(process.parent)?.comm ?? "" };
    const { startTime, comm } = process;
    const [exe, path] = [linkText(`/proc/${pid}/exe`), linkText(`/proc/self/fd/${fd}`)];
    return { pid, startTime, comm, exe, parent, path, device, inode, size };
  }
}

function describe(descriptor: number): ExecFile {
  const { dev, ino, size, mtimeNs, ctimeNs } = fstatSync(descriptor, { bigint: true });
  return {
    device: deviceText(dev),
    inode: ino,
    size,
    signature: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`,
    changedMs: Number(ctimeNs / 1_000_000n),
  };
}

function linkText(path: string): JsonText {
  try {
    return toJsonText(readlinkSync(path, { encoding: "buffer" }));
  } catch {
    return LONG_NAME;
  }
}

function statOf(pid: number) {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    // Gone, or not to be seen from here.
    return null;
  }
}
