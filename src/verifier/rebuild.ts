import { NOTHING_PROVED } from "../attest/appraise.ts";
import { applyRecords, emptyHostState, type HostState } from "../attest/host-state.ts";
import { toHex } from "../core/bytes.ts";
import { describeError, PimsError } from "../core/errors.ts";
import { parseRecord } from "../log/record.ts";
import { replay, ZERO_PCR } from "../log/replay.ts";
import type { HostRow, Store } from "./store.ts";

const RECORDS_A_READ = 1024;
const ALL = -1;

/**
 * What each host's stored records add up to. They must still lead to the value that its quotes have proved: a record that
 * is gone from the database may be the one that condemned a container. Throws `store-unusable`.
 */
export function rebuildStates(store: Store): Map<string, HostState> {
  try {
    return new Map(store.hosts().map((row) => [row.name, rebuildState(store, row)]));
  } catch (cause) {
    throw new PimsError("store-unusable", `the verifier's database is damaged (${describeError(cause)})`, {
      hint: "bring back a copy of it, or move it away to start anew",
      cause,
    });
  }
}

function rebuildState(store: Store, { name, proved }: HostRow): HostState {
  const state = emptyHostState();
  const boots = store.log.boots(name, ALL);
  for (const boot of boots) {
    let value = ZERO_PCR;
    for (let from = 0; from < boot.records; from += RECORDS_A_READ) {
      const lines = store.log.read(name, from, Math.min(RECORDS_A_READ, boot.records - from), boot.ordinal);
      const records = lines.map((line, index) => parseRecord(line, from + index));
      // One by one: how long the sweeper once stood still is no news after a restart.
      for (const record of records) applyRecords(state, [record]);
      value = replay(
        records.map(({ digest }) => digest),
        value,
      );
    }
    if (toHex(value) !== boot.value) throw altered(name);
  }
  const { records = 0, value = NOTHING_PROVED.value } = boots.at(-1) ?? {};
  if (records !== proved.length || value !== proved.value) throw altered(name);
  return state;
}

function altered(host: string): PimsError {
  return new PimsError("store-unusable", `the records of ${host} are not those that were proved`);
}
