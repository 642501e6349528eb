import { stat } from "node:fs/promises";
import { applyRecords, emptyHostState, type HostState } from "../attest/host-state.ts";
import { describeError } from "../core/errors.ts";
import { type EarlierLog, earlierLogs, recordsOf } from "../log/earlier-logs.ts";
import type { BootEvent } from "../log/event.ts";

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
      for (const path of await newest(logs)) for await (const record of recordsOf(path)) applyRecords(state, [record]);
    } catch (error) {
      report(`not all logs of earlier boots can be read: ${describeError(error)}`);
    }
    applyRecords(state, [{ recnum: 0, pcr: 0, digest: "", events: [boot] }]);
    return new EarlierBoots(boot.bootId, state, logs);
  }

  /** The logs from a boot's on, the oldest first; none when that is not among them. */
  since(bootId: string): string[] {
    const index = this.#logs.findIndex((log) => log.bootId === bootId);
    return index < 0 ? [] : this.#logs.slice(index).map(({ path }) => path);
  }
}

/** The last logs that are together not too much to be read, in their order. */
async function newest(logs: readonly EarlierLog[]): Promise<string[]> {
  const paths: string[] = [];
  let bytes = 0;
  for (const { path } of logs.toReversed()) {
    bytes += (await stat(path)).size;
    if (bytes > MAX_BYTES) break;
    paths.unshift(path);
  }
  return paths;
}
