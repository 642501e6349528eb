import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorCode } from "../core/errors.ts";
import { logLines } from "./read-log.ts";
import { type LogRecord, parseRecord } from "./record.ts";

/** A file of a boot's log: the first record in it, and where it is. */
export interface Segment {
  readonly path: string;
  readonly from: number;
}

/** Where to begin to read a segment: at record `from`, which begins at this byte of the file. */
export interface SegmentStart extends Segment {
  readonly startByte?: number;
}

/** Where the log of a boot that is over is kept, or its last segment. */
export function earlierLogPath(folder: string, bootId: string): string {
  return join(folder, `measurements-${bootId}.jsonl`);
}

/** Where a segment of a boot's log is kept when another goes on after it. */
export function segmentPath(folder: string, bootId: string, from: number): string {
  return join(folder, `measurements-${bootId}-${from}.jsonl`);
}

/**
 * The segments of a boot's log, the oldest first. `last` is the one that is not set aside, which begins with record `from`;
 * one that is set aside under that record is the same file.
 */
export async function segmentsOf(last: string, bootId: string, from: number): Promise<Segment[]> {
  const folder = dirname(last);
  const name = new RegExp(`^measurements-${bootId}-(0|[1-9]\\d{0,14})\\.jsonl$`);
  const earlier = (await readdir(folder))
    .flatMap((entry) => name.exec(entry)?.[1] ?? [])
    .map(Number)
    .filter((number) => number < from)
    .sort((a, b) => a - b);
  return [
    ...earlier.map((number) => ({ path: segmentPath(folder, bootId, number), from: number })),
    { path: last, from },
  ];
}

/** All lines of these segments, each with its newline; torn ones have none. One that is absent is empty. */
export async function* linesOf(segments: readonly SegmentStart[]): AsyncGenerator<string> {
  for (const { path, startByte } of segments)
    try {
      yield* logLines(path, startByte);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
}

/** The whole lines of a log from one record on, without their newlines. */
export async function* linesFrom(segments: readonly SegmentStart[], from: number): AsyncGenerator<string> {
  for (const [index, segment] of segments.entries()) {
    const next = segments[index + 1];
    if (next !== undefined && next.from <= from) continue;
    let recnum = segment.from;
    for await (const line of linesOf([segment])) {
      // A torn last line is no record yet.
      if (!line.endsWith("\n")) break;
      if (recnum++ >= from) yield line.slice(0, -1);
    }
  }
}

/** The first line of a file without its newline; undefined where there is no file or no whole line in it. */
export async function firstLine(path: string): Promise<string | undefined> {
  try {
    for await (const line of logLines(path)) return line.endsWith("\n") ? line.slice(0, -1) : undefined;
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  return undefined;
}

/** The records of these segments, one after the other. Throws `log-broken`. */
export async function* recordsOf(segments: readonly Segment[]): AsyncGenerator<LogRecord> {
  let recnum = segments[0]?.from ?? 0;
  for await (const line of linesFrom(segments, recnum)) yield parseRecord(line, recnum++);
}
