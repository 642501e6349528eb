import { jsonTextBytes } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { type Baseline, type BaselineEntry, MAX_ENTRIES } from "./lines.ts";
import { merkleRoot } from "./merkle.ts";
import { parseEntry } from "./parse-entry.ts";
import { parseHeader } from "./parse-header.ts";

export type { Baseline, BaselineEntry, BaselineHeader, BaselineSegment, EntryKind } from "./lines.ts";
export { formatEntry, formatHeader, MAX_ENTRIES } from "./lines.ts";

/**
 * Reads a baseline's lines, which may come from anybody: a line that `formatHeader` or `formatEntry` would have
 * written otherwise, entries out of order, or another number of them than the header says is `baseline-malformed`.
 */
export function parseBaseline(lines: readonly string[]): Baseline {
  const [first, ...rest] = lines.slice(0, MAX_ENTRIES + 2);
  if (first === undefined) throw new PimsError("baseline-malformed", "the baseline is empty");
  const header = parseHeader(first);
  if (header.entries !== lines.length - 1) {
    const text = `the baseline says that it has ${header.entries} entries and has ${lines.length - 1}`;
    throw new PimsError("baseline-malformed", text);
  }
  const entries: BaselineEntry[] = [];
  let previous: Uint8Array = new Uint8Array(0);
  for (const [index, line] of rest.entries()) {
    const entry = parseEntry(line, index + 1);
    const path = jsonTextBytes(entry.path);
    if (Buffer.compare(previous, path) >= 0) {
      throw new PimsError("baseline-malformed", `line ${index + 2} of the baseline is not in rising order of paths`);
    }
    entries.push(entry);
    previous = path;
  }
  return { header, entries, lines: [...lines], root: merkleRoot(lines.map((line) => Buffer.from(line, "utf8"))) };
}
