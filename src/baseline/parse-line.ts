import type { z } from "zod";
import { PimsError } from "../core/errors.ts";

/** `baseline-malformed`, saying which line and why. `index` counts lines from 0, people count from 1. */
export function malformedLine(index: number, why: string, cause?: unknown): PimsError {
  return new PimsError("baseline-malformed", `line ${index + 1} of the baseline is not valid: ${why}`, { cause });
}

/** JSON of a known shape on one line of bounded length. */
export function parseLine<T>(line: string, index: number, maxCharacters: number, shape: z.ZodType<T>): T {
  if (line.length > maxCharacters) throw malformedLine(index, "it is too long");
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw malformedLine(index, "it is not JSON", cause);
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw malformedLine(index, `${issue?.path.join(".") || "value"}: ${issue?.message ?? "another shape"}`);
}
