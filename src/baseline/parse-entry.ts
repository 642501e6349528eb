import { z } from "zod";
import { type BaselineEntry, formatEntry } from "./lines.ts";
import { malformedLine, parseLine } from "./parse-line.ts";
import { decimal, isImagePath, MAX_SEGMENTS, pathText, sha256Text } from "./schema.ts";

const MAX_ENTRY_CHARACTERS = 64 * 1024;

const entryShape = z.strictObject({
  path: pathText,
  kind: z.enum(["executable", "library", "script"]),
  size: decimal,
  sha256: sha256Text,
  segments: z.array(z.strictObject({ offset: decimal, size: decimal, sha256: sha256Text })).max(MAX_SEGMENTS),
});

/** Reads the line of one entry. Throws `baseline-malformed`. `index` counts lines from 0. */
export function parseEntry(line: string, index: number): BaselineEntry {
  const entry = parseLine(line, index, MAX_ENTRY_CHARACTERS, entryShape);
  if (!isImagePath(entry.path)) throw malformedLine(index, "its path is not one of an image");
  if (entry.kind === "script" && entry.segments.length > 0) throw malformedLine(index, "a script has no segments");
  for (const { offset, size } of entry.segments) {
    if (size === 0n || offset + size > entry.size) throw malformedLine(index, "a segment lies outside the file");
  }
  if (formatEntry(entry) !== line) throw malformedLine(index, "it is not written in the one form that there is");
  return entry;
}
