import { bytesEqual, fromHex } from "../core/bytes.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import type { BootEvent } from "./event.ts";
import { logLines } from "./read-log.ts";
import { parseHead, parseRecord, type RecordHead } from "./record.ts";
import { extendValue, ZERO_PCR } from "./replay.ts";
import { firstLine, type Segment, segmentsOf } from "./segments.ts";

const MARK_EVERY = 256;

/** Where every MARK_EVERYth record of a segment begins: so that what is new is read without what is not. */
export class LineMarks {
  readonly #from: number;
  readonly #marks: number[] = [];
  #count = 0;
  /** Of the whole lines. */
  bytes = 0;

  /** `from` is the segment's first record. */
  constructor(from: number) {
    this.#from = from;
  }

  add(line: string): void {
    if (this.#count % MARK_EVERY === 0) this.#marks.push(this.bytes);
    this.#count++;
    this.bytes += Buffer.byteLength(line) + 1;
  }

  /** A record at or before this one, and where it begins in the segment's file. */
  before(recnum: number): { from: number; startByte: number } {
    const mark = Math.max(0, Math.min(Math.floor((recnum - this.#from) / MARK_EVERY), this.#marks.length - 1));
    return { from: this.#from + mark * MARK_EVERY, startByte: this.#marks[mark] ?? 0 };
  }
}

/** A boot's log as it is on disk: numbers and digests of all its records are in order. */
export interface ScannedLog {
  readonly segments: readonly Segment[];
  /** How the log begins, also where its beginning is pruned. */
  readonly boot: BootEvent;
  /** Value of the register before the first record that is there. */
  readonly start: Uint8Array;
  /** Values of the register before the last record, and after it. */
  readonly before: Uint8Array;
  readonly value: Uint8Array;
  /** Number of the record after the last. */
  readonly end: number;
  readonly lastLine: string;
  /** The first record that is not of this register; null when all are. */
  notOf(register: number): { readonly recnum: number; readonly pcr: number } | null;
  /** Of the last segment. */
  readonly marks: LineMarks;
  /** Whether a torn line follows the last record. */
  readonly torn: boolean;
}

/**
 * Reads the log that ends with the file at `path`, record by record, in memory that does not grow with it. Null where there
 * is no whole record. Throws `log-broken`.
 */
export async function scanLog(path: string): Promise<ScannedLog | null> {
  const line = await firstLine(path);
  if (line === undefined) return null;
  const opening = openingOf(line, path);
  const segments = await segmentsOf(path, opening.boot.bootId, opening.from);
  const oldest = segments[0]!;
  const { boot, start } = oldest.path === path ? opening : openingOf((await firstLine(oldest.path)) ?? "", oldest.path);
  let recnum = oldest.from;
  let [before, value] = [start, start];
  let lastLine = line;
  let pcr: number | undefined;
  let odd: RecordHead | undefined;
  let marks = new LineMarks(recnum);
  let torn = false;
  for (const segment of segments) {
    marks = new LineMarks(segment.from);
    for await (const text of logLines(segment.path)) {
      torn = !text.endsWith("\n");
      if (torn) break;
      const line = text.slice(0, -1);
      if (recnum === segment.from && !bytesEqual(openingOf(line, segment.path).start, value))
        throw new PimsError("log-broken", `record ${recnum} of the log says another value than the records before it`);
      const head = parseHead(line, recnum++);
      pcr ??= head.pcr;
      if (head.pcr !== pcr) odd ??= head;
      [before, value] = [value, extendValue(value, head.digest)];
      lastLine = line;
      marks.add(line);
    }
    if (torn && segment.path !== path)
      throw new PimsError("log-broken", `record ${recnum} of the log is torn, and others follow`);
  }
  const notOf = (register: number) => (pcr === register ? (odd ?? null) : { recnum: oldest.from, pcr: pcr! });
  return { segments, boot, start, before, value, end: recnum, lastLine, notOf, marks, torn };
}

/** The log that ends with the file at `path`, as far as its first line leads back: for who reads it without a register. */
export async function segmentsAt(
  path: string,
): Promise<{ segments: Segment[]; boot: BootEvent | null; start: Uint8Array }> {
  try {
    const { boot, from, start } = openingOf((await firstLine(path)) ?? "", path);
    const segments = await segmentsOf(path, boot.bootId, from);
    const oldest = segments[0]!;
    if (oldest.path === path) return { segments, boot, start };
    return { segments, boot, start: openingOf((await firstLine(oldest.path)) ?? "", oldest.path).start };
  } catch (error) {
    // Whoever reads on is told what is wrong with it.
    if (errorCode(error) !== "log-broken") throw error;
    return { segments: [{ path, from: 0 }], boot: null, start: ZERO_PCR };
  }
}

/** What the first line of a segment tells: a `boot` event opens a log, a `checkpoint` what goes on. Throws `log-broken`. */
function openingOf(line: string, path: string): { from: number; boot: BootEvent; start: Uint8Array } {
  const from = Number(/^\{"recnum":(\d{1,15}),/.exec(line)?.[1] ?? 0);
  const [event] = parseRecord(line, from).events;
  if (event?.type === "boot" && from === 0) return { from, boot: event, start: ZERO_PCR };
  if (event?.type === "checkpoint" && from > 0)
    return { from, boot: { type: "boot", ...event.boot }, start: fromHex(event.value) };
  throw new PimsError("log-broken", `the log ${path} begins with neither a boot event nor a checkpoint`);
}
