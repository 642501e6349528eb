import { stat } from "node:fs/promises";
import { applyRecords, emptyHostState, type HostState } from "../attest/host-state.ts";
import { describeError } from "../core/errors.ts";
import { type EarlierLog, earlierLogs } from "../log/earlier-logs.ts";
import type { BootEvent } from "../log/event.ts";
import { segmentsToGoOn } from "../log/going-on.ts";
import type { MeasurementLog } from "../log/measurement-log.ts";
import type { LogRecord } from "../log/record.ts";
import { recordsOf, type Segment } from "../log/segments.ts";

/** Of the logs that are added up; a host logs far less in a month. Older ones may still be sent. */
const MAX_BYTES = 256 * 1024 * 1024;

/** What the logs of the boots before this one add up to, and which of them a verifier lacks. */
export class EarlierBoots {
  /** Of this boot. */
  readonly id: string;
  /** At the beginning of this boot. */
  readonly state: HostState;
  readonly #logs: readonly EarlierLog[];

  private constructor(id: string, state: HostState, logs: readonly EarlierLog[]) {
    this.id = id;
    this.state = state;
    this.#logs = logs;
  }

  /**
   * Reads the logs that the beginning of this boot's log leads back to. One that cannot be read is told of; it keeps nothing
   * from being measured, and the verifier knows what was proved of it.
   */
  static async read(folder: string, boot: BootEvent, report: (text: string) => void): Promise<EarlierBoots> {
    const state = emptyHostState();
    const logs: EarlierLog[] = [];
    try {
      logs.push(...(await earlierLogs(folder, boot)));
      for (const segments of await newest(logs))
        for await (const record of recordsOf(segments)) applyRecords(state, [record]);
    } catch (error) {
      report(`not all logs of earlier boots can be read: ${describeError(error)}`);
    }
    applyRecords(state, [{ recnum: 0, pcr: 0, digest: "", events: [boot] }]);
    return new EarlierBoots(boot.bootId, state, logs);
  }

  /** The logs from a boot's on, the oldest first; none when that is not among them. */
  since(bootId: string): (readonly Segment[])[] {
    const index = this.#logs.findIndex((log) => log.bootId === bootId);
    return index < 0 ? [] : this.#logs.slice(index).map(({ segments }) => segments);
  }
}

/**
 * What an opened log adds up to after those of earlier boots, read record by record from where one can go on, and the last
 * record that it held.
 */
export async function readState(
  folder: string,
  { log, isNew }: { readonly log: MeasurementLog; readonly isNew: boolean },
  report: (text: string) => void,
): Promise<{ boot: EarlierBoots; last: LogRecord | null }> {
  const boot = await EarlierBoots.read(folder, log.boot, report);
  let last: LogRecord | null = null;
  if (!isNew)
    for await (const record of recordsOf(await segmentsToGoOn(log.segmentsFrom(0)))) {
      applyRecords(boot.state, [record]);
      last = record;
    }
  return { boot, last };
}

/** The last logs that are together not too much to be read, in their order. */
async function newest(logs: readonly EarlierLog[]): Promise<(readonly Segment[])[]> {
  const wanted: (readonly Segment[])[] = [];
  let bytes = 0;
  for (const { segments } of logs.toReversed()) {
    for (const { path } of segments) bytes += (await stat(path)).size;
    if (bytes > MAX_BYTES) break;
    wanted.unshift(segments);
  }
  return wanted;
}
