import { join } from "node:path";
import { errorCode } from "../core/errors.ts";
import type { BootEvent } from "./event.ts";
import { logLines } from "./read-log.ts";
import { type LogRecord, parseRecord } from "./record.ts";

/** Boots that are followed back, at most. */
export const MAX_EARLIER_BOOTS = 64;

/** The log of a boot that is over. */
export interface EarlierLog {
  readonly bootId: string;
  readonly path: string;
}

/** Where the log of a boot that is over is kept. */
export function earlierLogPath(folder: string, bootId: string): string {
  return join(folder, `measurements-${bootId}.jsonl`);
}

/**
 * The logs of the boots before this one, the oldest first: followed from each log's `boot` event to the log that it names,
 * until one is missing, begins otherwise than a log does, or `MAX_EARLIER_BOOTS` are found. Throws `log-broken` for one
 * that is none, and what the file system says.
 */
export async function earlierLogs(folder: string, boot: BootEvent): Promise<EarlierLog[]> {
  const found: EarlierLog[] = [];
  const seen = new Set([boot.bootId]);
  for (let { previous } = boot; previous !== null && found.length < MAX_EARLIER_BOOTS; ) {
    const { bootId } = previous;
    const path = earlierLogPath(folder, bootId);
    const first = seen.has(bootId) ? undefined : await firstEvent(path);
    if (first?.type !== "boot" || first.bootId !== bootId) break;
    seen.add(bootId);
    found.unshift({ bootId, path });
    previous = first.previous;
  }
  return found;
}

/** The whole records of a log, one after the other. Throws `log-broken`. */
export async function* recordsOf(path: string): AsyncGenerator<LogRecord> {
  let recnum = 0;
  for await (const line of logLines(path)) {
    // A torn last line is no record.
    if (!line.endsWith("\n")) return;
    yield parseRecord(line.slice(0, -1), recnum++);
  }
}

async function firstEvent(path: string) {
  try {
    for await (const { events } of recordsOf(path)) return events[0];
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  return undefined;
}
