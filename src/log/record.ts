import { z } from "zod";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { eventSchema, type LogEvent } from "./event.ts";
import { isNvIndex } from "./pcr.ts";

/** A record of the measurement log: TCG Canonical Event Log in its JSON form, content type `pims`. */
export interface LogRecord {
  readonly recnum: number;
  /** Handle of the register: the index of a PCR, or of an NV index. */
  readonly pcr: number;
  /** SHA-256 over the exact bytes of `content`: what is extended into the PCR. */
  readonly digest: string;
  readonly events: readonly LogEvent[];
}

export const MAX_LINE_BYTES = 1024 * 1024;
export const MAX_EVENTS = 256;

const LINE =
  /^\{"recnum":(0|[1-9]\d{0,14}),"(?:pcr":(0|[1-9]\d?)|nv_index":([1-9]\d{7})),"digests":\[\{"hashAlg":"sha256","digest":"([0-9a-f]{64})"\}\],"content_type":"pims","content":([^\n]*)\}$/;

const contentSchema = z.strictObject({ events: z.array(eventSchema).min(1).max(MAX_EVENTS) });

/** The line of a record, without the newline. */
export function formatRecord(
  recnum: number,
  pcr: number,
  events: readonly LogEvent[],
): { line: string; digest: string } {
  // Whoever reads the record checks it like this: what they would refuse must never reach the register.
  const checked = contentSchema.safeParse({ events });
  if (!checked.success)
    throw new PimsError("event-invalid", `log record ${recnum} would hold ${firstIssue(checked.error)}`);
  const content = JSON.stringify({ events });
  const digest = sha256Hex(content);
  const register = isNvIndex(pcr) ? "nv_index" : "pcr";
  const line = `{"recnum":${recnum},"${register}":${pcr},"digests":[{"hashAlg":"sha256","digest":"${digest}"}],"content_type":"pims","content":${content}}`;
  if (Buffer.byteLength(line) > MAX_LINE_BYTES)
    throw new PimsError("log-too-large", `log record ${recnum} would be longer than ${MAX_LINE_BYTES} bytes`);
  return { line, digest };
}

/** A record of which the content was not read, only its digest checked. */
export interface RecordHead {
  readonly recnum: number;
  readonly pcr: number;
  readonly digest: string;
  readonly content: string;
}

/** Checks number and digest of a line: what a register can tell of it. Throws PimsError `log-broken`. */
export function parseHead(line: string, expectedRecnum: number): RecordHead {
  const broken = (what: string) => brokenRecord(expectedRecnum, what);
  if (line.length > MAX_LINE_BYTES) throw broken("is too long");
  const match = LINE.exec(line);
  if (!match) throw broken("has another shape than a log record");
  const [, recnum, pcr, nvIndex, digest, content] = match;
  if (nvIndex !== undefined && !isNvIndex(Number(nvIndex)))
    throw broken("is of an NV index that is none of the owner's");
  if (Number(recnum) !== expectedRecnum) throw broken(`is missing: record ${recnum} stands in its place`);
  if (sha256Hex(content!) !== digest) throw broken("has another content than its digest says");
  return { recnum: expectedRecnum, pcr: Number(nvIndex ?? pcr), digest: digest!, content: content! };
}

/**
 * Reads one line of a log. Throws PimsError `log-broken` for another shape, a digest that is not the content's, or
 * content that is not exactly what a writer of this format prints: so a duplicate key has nowhere to hide.
 */
export function parseRecord(line: string, expectedRecnum: number): LogRecord {
  const { content, ...head } = parseHead(line, expectedRecnum);
  const broken = (what: string) => brokenRecord(expectedRecnum, what);
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    throw broken("is not valid JSON");
  }
  // The shape first: comparing would follow any depth of nesting.
  const checked = contentSchema.safeParse(parsed);
  if (!checked.success) throw broken(`holds ${firstIssue(checked.error)}`);
  if (JSON.stringify(parsed) !== content) throw broken("is not in the form that the log is written in");
  return { ...head, events: checked.data.events };
}

function brokenRecord(recnum: number, what: string): PimsError {
  return new PimsError("log-broken", `record ${recnum} of the log ${what}`);
}

function firstIssue({ issues: [issue] }: z.ZodError): string {
  return `an event that is none (${issue?.path.join(".")}: ${issue?.message})`;
}
