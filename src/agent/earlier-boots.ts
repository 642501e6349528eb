import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { applyRecords, emptyHostState, type HostState } from "../attest/host-state.ts";
import { describeError } from "../core/errors.ts";
import { type EarlierLog, earlierLogs } from "../log/earlier-logs.ts";
import type { BootEvent } from "../log/event.ts";
import { segmentsToGoOn } from "../log/going-on.ts";
import type { MeasurementLog } from "../log/measurement-log.ts";
import type { LogRecord } from "../log/record.ts";
import { recordsOf, type Segment } from "../log/segments.ts";

/** Of the logs that are added up; a host logs far less in a month. Older ones are kept to be sent, until this boot is proved. */
const MAX_BYTES = 256 * 1024 * 1024;

/** What the logs of the boots before this one add up to, and which of them a verifier lacks. */
export class EarlierBoots {
  /** Of this boot. */
  readonly id: string;
  /** At the beginning of this boot. */
  readonly state: HostState;
  readonly #logs: readonly EarlierLog[];
  readonly #folder: string;
  /** Boots whose logs are needed at the next start, too; null where not all could be read, or the others are gone. */
  #kept: ReadonlySet<string> | null;

  private constructor(
    id: string,
    state: HostState,
    logs: { readonly folder: string; readonly all: readonly EarlierLog[]; readonly kept: ReadonlySet<string> | null },
  ) {
    this.id = id;
    this.state = state;
    this.#logs = logs.all;
    this.#folder = logs.folder;
    this.#kept = logs.kept;
  }

  /**
   * Reads the logs that the beginning of this boot's log leads back to. One that cannot be read is told of; it keeps nothing
   * from being measured, and the verifier knows what was proved of it.
   */
  static async read(
    folder: string,
    boot: BootEvent,
    report: (text: string) => void,
    maxBytes = MAX_BYTES,
  ): Promise<EarlierBoots> {
    const state = emptyHostState();
    const all: EarlierLog[] = [];
    let kept: Set<string> | null = null;
    try {
      all.push(...(await earlierLogs(folder, boot)));
      const added = await newest(all, maxBytes);
      for (const { segments } of added) for await (const record of recordsOf(segments)) applyRecords(state, [record]);
      kept = new Set([boot.bootId, ...added.map(({ bootId }) => bootId)]);
    } catch (error) {
      report(`not all logs of earlier boots can be read: ${describeError(error)}`);
    }
    applyRecords(state, [{ recnum: 0, pcr: 0, digest: "", events: [boot] }]);
    return new EarlierBoots(boot.bootId, state, { folder, all, kept });
  }

  /** The logs from a boot's on, the oldest first; none when that is not among them. */
  since(bootId: string): (readonly Segment[])[] {
    const index = this.#logs.findIndex((log) => log.bootId === bootId);
    return index < 0 ? [] : this.#logs.slice(index).map(({ segments }) => segments);
  }

  /**
   * A quote has proved records of this boot, and with them how it leads back: no earlier log is asked for any more. Removes
   * those that are not added up either. Throws what the file system says, and tries no more.
   */
  async proved(): Promise<void> {
    const kept = this.#kept;
    this.#kept = null;
    if (kept === null) return;
    for (const name of await readdir(this.#folder)) {
      const bootId = SET_ASIDE.exec(name)?.[1];
      if (bootId !== undefined && !kept.has(bootId)) await rm(join(this.#folder, name), { force: true });
    }
  }
}

/** The boot's id in the name of a file of a log that was set aside. */
const SET_ASIDE = /^measurements-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-\d{1,15})?\.jsonl$/;

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
async function newest(logs: readonly EarlierLog[], maxBytes: number): Promise<EarlierLog[]> {
  const wanted: EarlierLog[] = [];
  let bytes = 0;
  for (const log of logs.toReversed()) {
    for (const { path } of log.segments) bytes += (await stat(path)).size;
    if (bytes > maxBytes) break;
    wanted.unshift(log);
  }
  return wanted;
}
