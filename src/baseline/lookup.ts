import { type JsonText, jsonTextBytes, toHex } from "../core/bytes.ts";
import type { Baseline, BaselineEntry } from "./lines.ts";

/** A baseline's entries, found by what they are and by where they are. */
export interface BaselineIndex {
  /** By SHA-256 of the file; several when the image has the file more than once. */
  readonly byDigest: ReadonlyMap<string, readonly BaselineEntry[]>;
  /** By `pathKey`. */
  readonly byPath: ReadonlyMap<string, BaselineEntry>;
}

/** One text for one path, however it is written. */
export function pathKey(path: JsonText): string {
  return toHex(jsonTextBytes(path));
}

export function indexBaseline(baseline: Pick<Baseline, "entries">): BaselineIndex {
  return {
    byDigest: Map.groupBy(baseline.entries, ({ sha256 }) => sha256),
    byPath: new Map(baseline.entries.map((entry) => [pathKey(entry.path), entry])),
  };
}
